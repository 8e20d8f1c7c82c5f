"""RBAC rules compared with what was really asked: no right without a use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from support.helm import Manifest

Rule = Mapping[str, Any]
Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (``routes`` or ``routes/status``) of one API group."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


def rights_of(rules: Iterable[Rule]) -> set[Right]:
    """Every right that the rules of Roles and ClusterRoles give, one by one."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    }


def used_rights(events: Iterable[Event]) -> set[Right]:
    """What the requests of an audit log (audit.k8s.io/v1 Event) needed, those refused left out."""
    return {right for event in events for right in _needed(event)}


def unused_rights(rules: Iterable[Rule], audit_events: Iterable[Event]) -> list[Right]:
    """Rights of ``rules`` that no request needed, in order.

    ``audit_events`` are those of one user. ``resourceNames`` make no difference: what may be done
    to fewer objects is still one right.
    """
    return sorted(rights_of(rules) - used_rights(audit_events))


def was_refused(event: Event) -> bool:
    """Whether the user had not the right to (RBAC); a namespace that ends answers 403 to everyone."""
    return bool((event.get("annotations") or {}).get("authorization.k8s.io/decision") == "forbid")


def rules_for(manifests: Iterable[Manifest], account: str) -> list[Rule]:
    """The rules that a chart's bindings give to one of its ServiceAccounts."""
    found = list(manifests)
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"], each["metadata"].get("namespace"))
        for each in found
        if each["kind"] in ("RoleBinding", "ClusterRoleBinding")
        and any(subject["name"] == account for subject in each["subjects"])
    }
    return [
        rule
        for each in found
        if each["kind"] in ("Role", "ClusterRole")
        and (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) in bound
        for rule in each["rules"]
    ]


def _needed(event: Event) -> Iterator[Right]:
    reference = event.get("objectRef")
    code = (event.get("responseStatus") or {}).get("code", 200)
    if reference is None or code in (401, 403):
        return
    resource = reference["resource"]
    if "subresource" in reference:
        resource += f"/{reference['subresource']}"
    group = reference.get("apiGroup", "")
    yield Right(group, resource, event["verb"])
    if event["verb"] == "patch" and code == 201:
        yield Right(group, resource, "create")  # server-side apply of what was not there
