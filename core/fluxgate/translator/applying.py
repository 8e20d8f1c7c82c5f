"""Policies applied: the chosen ones of every type, merged and put on one route of one gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import Model, Route
from fluxgate.ir import PolicyOrigin
from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.config_refs import references_in
from fluxgate.translator.findings import Finding, PolicyError, invalid, unresolved
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.merging import append
from fluxgate.translator.plugins import Policies
from fluxgate.translator.plugins.base import Context
from fluxgate.translator.policies import Policy, policy_type
from fluxgate.translator.tenants import TenantFact, question
from fluxgate.translator.view import View

_REFERENCE = (Reason.REF_NOT_FOUND, Reason.REF_NOT_PERMITTED)


@dataclass(frozen=True, slots=True)
class Applied:
    """What the policies of a route add up to, and which of them could not be set up."""

    policies: Policies
    broken: tuple[tuple[Policy, Finding], ...] = ()
    findings: tuple[Finding, ...] = ()
    used: frozenset[ObjectRef] = frozenset()
    clusters: tuple[ClusterSpec, ...] = ()
    chain: tuple[PolicyOrigin, ...] = ()


_NONE = Applied(Policies())


def apply_policies(
    chosen: Mapping[str, Sequence[Policy]],
    own: frozenset[str],
    ref: ObjectRef,
    route: Route,
    view: View,
    scope: GatewayScope,
    tenant: TenantFact | None,
) -> Applied:
    """Apply ``chosen``, the policies of each type, the nearest first.

    ``own`` are the types that fields of the route itself decide.
    """
    if not chosen and not own:
        return _NONE
    policies = Policies()
    broken: list[tuple[Policy, Finding]] = []
    chain = [PolicyOrigin(kind, ref) for kind in own]
    context = Context("", ref, ref, route, scope, tenant, view.lookups())
    for kind, stack in sorted(chosen.items()):
        known, nearest = policy_type(kind), stack[0]
        if known is None or kind in own or any(each.config is None for each in stack):
            continue
        try:
            config, context.name = _merged(stack)
            context.owner = nearest.owner
            context.of_tenant = any(_of_tenant(each, tenant, view, context) for each in stack)
            policies = known.apply(policies, config, context)
        except PolicyError as error:
            broken.append((nearest, _finding(nearest, error)))
            continue
        wider = tuple(each.owner for each in stack[1:])
        chain.append(PolicyOrigin(kind, nearest.owner, wider))
    return Applied(
        policies,
        tuple(broken),
        tuple(context.findings),
        frozenset(context.used),
        tuple(context.clusters.values()),
        tuple(sorted(chain, key=lambda each: each.type)),
    )


def _of_tenant(policy: Policy, tenant: TenantFact | None, view: View, context: Context) -> bool:
    """Whether a tenant wrote ``policy``: in its Route, its Plugin, or its namespace."""
    if policy.owner.kind == "Route":
        return tenant is not None
    asked = question(policy.owner.namespace, policy.tenant)
    context.used.add(asked)
    return view.tenants.tenant_of(policy.owner.namespace, policy.tenant) is not None


def _merged(stack: Sequence[Policy]) -> tuple[Model, str]:
    """The config of a stack, and a name for it: that of its only policy, or of all of them."""
    *nearer, widest = stack
    config = _config(widest)
    for policy in reversed(nearer):
        foreign = widest.owner.namespace != policy.owner.namespace
        if foreign and any(references_in(config, widest.owner.namespace)):
            raise PolicyError(
                "mergeStrategy",
                f"{widest.owner} names objects of its own namespace, so no policy of another "
                "namespace can continue it; use Replace",
                Reason.REF_NOT_PERMITTED,
            )
        config = append(_config(policy), config)
    return config, "+".join(each.name for each in stack)


def _config(policy: Policy) -> Model:
    if policy.config is None:
        raise PolicyError("", policy.problem)
    return policy.config


def _finding(policy: Policy, error: PolicyError) -> Finding:
    inline = policy.owner.kind == "Route"
    message = f"{policy.where}.{error}" if inline else f"{policy.where} is not usable: {error}"
    if error.reason in _REFERENCE:
        return unresolved(message, error.reason)
    return invalid(message, error.reason) if inline else unresolved(message, error.reason)
