"""Plugins: their configs checked, where they are attached, and which of them a route gets.

The nearest scope wins, type by type: the route's own fields, then what it lists
under ``plugins``, then Plugins that target the route, its backends, its tenant, its
gateway. Within one scope the older Plugin wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from fluxgate.api.parse import field_problems
from fluxgate.api.v1alpha1 import Model, Plugin
from fluxgate.resources import ObjectRef, ref_of
from fluxgate.status import Reason
from fluxgate.translator.findings import Finding, Rank, invalid, partly, rank_of, unresolved
from fluxgate.translator.plugins import POLICY_TYPES, PolicyType

_TYPES: Mapping[str, PolicyType] = {each.name: each for each in POLICY_TYPES}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy ready to apply (``config`` set), or broken (``problem`` says why)."""

    type: str
    name: str
    config: Model | None = None
    problem: str = ""
    enabled: bool = True

    @property
    def harmless_without(self) -> bool:
        """Whether a route is no less protected when this policy is left out."""
        known = _TYPES.get(self.type)
        return known is not None and known.harmless_without


@dataclass(frozen=True, slots=True)
class PluginFact:
    """A Plugin as routes see it."""

    ref: ObjectRef
    rank: Rank
    policy: Policy
    tenant: str | None


def policy_type(name: str) -> PolicyType | None:
    """The type of that name."""
    return _TYPES.get(name)


def read_policy(kind: str, config: Mapping[str, Any], name: str) -> tuple[Policy, Reason | None]:
    """Check ``config`` against its type's model; the reason is None when all is well."""
    known = _TYPES.get(kind)
    if known is None:
        names = ", ".join(sorted(_TYPES))
        message = f"type: {kind!r} is not supported; this version knows {names}"
        return Policy(kind, name, problem=message), Reason.UNSUPPORTED_TYPE
    try:
        model = known.config.model_validate_json(
            json.dumps(config), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        problems = field_problems(known.config, error, "config")
        return Policy(kind, name, problem="; ".join(map(str, problems))), Reason.INVALID
    except (TypeError, ValueError, RecursionError) as error:
        return Policy(kind, name, problem=f"config: is not JSON: {error}"), Reason.INVALID
    return Policy(kind, name, model), None


def attachment(kind: str, namespace: str, name: str) -> ObjectRef:
    """What an object depends on when it asks which Plugins target it."""
    return ObjectRef(f"plugins-of-{kind}", namespace, name)


def targets_of(plugin: Plugin) -> frozenset[ObjectRef]:
    """The attachments of a Plugin."""
    namespace = plugin.metadata.namespace
    return frozenset(attachment(each.kind, namespace, each.name) for each in plugin.spec.targets)


def read_plugin(plugin: Plugin, rejected: str | None) -> tuple[PluginFact, tuple[Finding, ...]]:
    """What routes need to know of ``plugin``, and what is wrong with it."""
    spec, ref = plugin.spec, ref_of(plugin)
    policy, reason = read_policy(spec.type, spec.config, f"plugin/{ref.namespace}/{ref.name}")
    findings: tuple[Finding, ...] = ()
    if reason is not None:
        findings = (invalid(f"spec.{policy.problem}", reason),)
    elif spec.merge_strategy == "Append":
        findings = (
            partly("spec.mergeStrategy: Append is not supported by this version; Replace is used"),
        )
    if not spec.enabled:
        findings = (*findings, invalid("spec.enabled is false", Reason.DISABLED))
        policy = Policy(policy.type, policy.name, policy.config, policy.problem, enabled=False)
    elif rejected is not None:
        policy = Policy(policy.type, policy.name, problem=f"Envoy rejected {ref}: {rejected}")
    if spec.tenant is not None and any(each.kind == "GatewayConfig" for each in spec.targets):
        message = "spec.targets: a tenant's Plugin cannot target a GatewayConfig; target the Tenant"
        findings = (*findings, unresolved(message, Reason.REF_NOT_PERMITTED))
    return PluginFact(ref, rank_of(plugin), policy, spec.tenant), findings


@dataclass(slots=True)
class PluginIndex:
    """All Plugins by name and by what they target."""

    facts: dict[ObjectRef, PluginFact] = field(default_factory=dict)
    _attached: dict[ObjectRef, dict[ObjectRef, PluginFact]] = field(default_factory=dict)
    _targets: dict[ObjectRef, frozenset[ObjectRef]] = field(default_factory=dict)

    def put(self, ref: ObjectRef, plugin: Plugin | None, fact: PluginFact | None) -> set[ObjectRef]:
        """Replace or remove (None) one Plugin; returns the attachments it touches."""
        before = self._targets.pop(ref, frozenset())
        for target in before:
            attached = self._attached[target]
            del attached[ref]
            if not attached:
                del self._attached[target]
        self.facts.pop(ref, None)
        if plugin is None or fact is None:
            return set(before)
        self.facts[ref] = fact
        after = targets_of(plugin)
        if fact.tenant is not None:
            after = frozenset(each for each in after if each.kind != "plugins-of-GatewayConfig")
        self._targets[ref] = after
        for target in after:
            self._attached.setdefault(target, {})[ref] = fact
        return set(before | after)

    def attached(self, target: ObjectRef) -> list[PluginFact]:
        """The enabled Plugins that target an object, the oldest first."""
        facts = self._attached.get(target)
        if not facts:
            return []
        return sorted(
            (fact for fact in facts.values() if fact.policy.enabled), key=lambda fact: fact.rank
        )
