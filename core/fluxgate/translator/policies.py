"""Plugins: their configs checked, where they are attached, and which of them a route gets.

The nearest scope wins, type by type: the route's own fields, then what it lists
under ``plugins``, then Plugins that target the route, its backends, its tenant, its
gateway. Within one scope the older Plugin wins. A policy whose ``mergeStrategy`` is
``Append`` continues the next one of its type instead of replacing it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from fluxgate.api.parse import field_problems
from fluxgate.api.v1alpha1 import Model, Plugin
from fluxgate.resources import ObjectRef, ref_of
from fluxgate.status import Reason
from fluxgate.translator.config_refs import references_in
from fluxgate.translator.findings import Finding, Rank, invalid, rank_of, unresolved
from fluxgate.translator.plugins import POLICY_TYPES, PolicyType

_TYPES: Mapping[str, PolicyType] = {each.name: each for each in POLICY_TYPES}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy ready to apply (``config`` set), or broken (``problem`` says why).

    ``owner`` is the object that holds the config, ``where`` how findings name it.
    """

    type: str
    name: str
    owner: ObjectRef
    where: str
    config: Model | None = None
    problem: str = ""
    enabled: bool = True
    append: bool = False
    tenant: str | None = None
    """What the Plugin itself says; the tenant of its namespace counts as well."""

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
    references: tuple[ObjectRef, ...] = ()
    """What the config names."""


def policy_type(name: str) -> PolicyType | None:
    """The type of that name."""
    return _TYPES.get(name)


def read_config(kind: str, config: Mapping[str, Any]) -> tuple[Model | None, str, Reason | None]:
    """``config`` checked against its type's model; else what is wrong with it, and the reason."""
    known = _TYPES.get(kind)
    if known is None:
        names = ", ".join(sorted(_TYPES))
        message = f"type: {kind!r} is not supported; this version knows {names}"
        return None, message, Reason.UNSUPPORTED_TYPE
    try:
        model = known.config.model_validate_json(
            json.dumps(config), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        problems = field_problems(known.config, error, "config")
        return None, "; ".join(map(str, problems)), Reason.INVALID
    except (TypeError, ValueError, RecursionError) as error:
        return None, f"config: is not JSON: {error}", Reason.INVALID
    return model, "", None


def policy_name(owner: ObjectRef, index: int | None = None) -> str:
    """The name of a Plugin's policy, or of the one at ``index`` of a Route's ``plugins``."""
    if index is None:
        return f"plugin/{owner.namespace}/{owner.name}"
    return f"route/{owner.namespace}/{owner.name}/plugin/{index}"


def attachment(kind: str, namespace: str, name: str) -> ObjectRef:
    """What an object depends on when it asks which Plugins target it."""
    return ObjectRef(f"plugins-of-{kind}", namespace, name)


def targets_of(plugin: Plugin) -> frozenset[ObjectRef]:
    """The attachments of a Plugin."""
    namespace = plugin.metadata.namespace
    return frozenset(attachment(each.kind, namespace, each.name) for each in plugin.spec.targets)


def read_plugin(
    plugin: Plugin, rejected: str | None, absent: Callable[[ObjectRef], str | None]
) -> tuple[PluginFact, tuple[Finding, ...]]:
    """What routes need to know of ``plugin``, and what is wrong with it.

    ``absent`` says why an object that the config names is not there, or None when it is.
    """
    spec, ref = plugin.spec, ref_of(plugin)
    config, problem, reason = read_config(spec.type, spec.config)
    findings: tuple[Finding, ...] = ()
    references: tuple[ObjectRef, ...] = ()
    if reason is not None:
        findings = (invalid(f"spec.{problem}", reason),)
    elif config is not None:
        named = tuple(references_in(config, ref.namespace, "spec.config"))
        references = tuple(each for _, each in named)
        findings = tuple(
            unresolved(f"{path}: {why}") for path, each in named if (why := absent(each))
        )
    if not spec.enabled:
        findings = (*findings, invalid("spec.enabled is false", Reason.DISABLED))
    elif rejected is not None:
        config, problem = None, f"Envoy rejected {ref}: {rejected}"
    if spec.tenant is not None and any(each.kind == "GatewayConfig" for each in spec.targets):
        message = "spec.targets: a tenant's Plugin cannot target a GatewayConfig; target the Tenant"
        findings = (*findings, unresolved(message, Reason.REF_NOT_PERMITTED))
    policy = Policy(
        spec.type,
        policy_name(ref),
        ref,
        str(ref),
        config,
        problem,
        spec.enabled,
        append=spec.merge_strategy == "Append",
        tenant=spec.tenant,
    )
    return PluginFact(ref, rank_of(plugin), policy, spec.tenant, references), findings


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
