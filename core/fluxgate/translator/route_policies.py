"""Which policies protect a Route on one gateway, and whether all of them could be set up."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.api.v1alpha1 import Route
from fluxgate.api.v1alpha1.route import PluginUse, RouteAuth
from fluxgate.ir import KeyAuth, PlanBucket
from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator.backends import may_use
from fluxgate.translator.cross_origin import CrossOrigin, same_for_all, tenant_origins
from fluxgate.translator.findings import Finding, invalid, partly, unresolved
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.key_table import scopes_of
from fluxgate.translator.plugins import Limit, Policies
from fluxgate.translator.plugins.rate_limit import limit_of
from fluxgate.translator.policies import (
    Policy,
    attachment,
    policy_type,
    read_policy,
)
from fluxgate.translator.tenants import TenantFact
from fluxgate.translator.view import View


@dataclass(frozen=True, slots=True)
class Protection:
    """The policies of a Route as IR; ``refuse``: one of them could not be set up."""

    key_auth: KeyAuth | None
    cors: CrossOrigin
    plan: str
    bucket: PlanBucket | None
    refuse: bool
    findings: tuple[Finding, ...]
    used: frozenset[ObjectRef]


class _Collector:
    """Gathers one policy a type, the nearest scope first."""

    def __init__(self) -> None:
        self.chosen: dict[str, Policy | None] = {}
        self.findings: list[Finding] = []
        self.refuse = False
        self.used: set[ObjectRef] = set()

    def offer(self, policy: Policy, *, off: bool = False) -> None:
        """Take ``policy`` (or, when ``off``, none of its type) unless a nearer scope decided."""
        self.chosen.setdefault(policy.type, None if off else policy)

    def fail(self, finding: Finding) -> None:
        """Something is broken that may have protected the route: close it."""
        self.findings.append(finding)
        self.refuse = True


def resolve_policies(
    ref: ObjectRef, route: Route, view: View, scope: GatewayScope, tenant: TenantFact | None
) -> Protection:
    """Choose, check and combine the policies of ``route`` on one gateway."""
    collector, decided, spec = _Collector(), _decided_by_fields(route), route.spec
    for index, use in enumerate(spec.plugins):
        _offer_use(use, index, ref, view, tenant, collector)
    _offer_attached(ref, route, view, scope, tenant, collector, decided)
    policies = _apply(collector, own=decided)
    auth = spec.auth or policies.auth
    limit = policies.limit
    if spec.rate_limit is not None:
        limit = limit_of(spec.rate_limit, f"route/{ref.namespace}/{ref.name}")
    cors = _cors(route, policies, tenant, scope)
    key_auth = _key_auth(route, auth, tenant, collector)
    plan, bucket = _plan(limit, scope, collector)
    if spec.async_ is not None and spec.async_.enabled:
        message = "spec.async: is not supported by this version; remove it to call synchronously"
        collector.fail(invalid(message, Reason.UNSUPPORTED_TYPE))
    return Protection(
        key_auth,
        cors,
        plan,
        bucket,
        collector.refuse,
        tuple(collector.findings),
        frozenset(collector.used),
    )


def _decided_by_fields(route: Route) -> frozenset[str]:
    spec = route.spec
    fields = {"key-auth": spec.auth, "cors": spec.cors, "rate-limit": spec.rate_limit}
    return frozenset([name for name, value in fields.items() if value is not None])


def _offer_use(
    use: PluginUse,
    index: int,
    ref: ObjectRef,
    view: View,
    tenant: TenantFact | None,
    collector: _Collector,
) -> None:
    where = f"spec.plugins[{index}]"
    if use.type is not None:
        name = f"route/{ref.namespace}/{ref.name}/plugin/{index}"
        policy, reason = read_policy(use.type, use.config, name)
        if use.enabled and reason is not None and not policy.harmless_without:
            collector.refuse = True
        if use.enabled and reason is not None:
            collector.findings.append(invalid(f"{where}.{policy.problem}", reason))
            policy = Policy(policy.type, policy.name, enabled=False)
        _offer_once(policy, where, use, collector)
        return
    target = ObjectRef("Plugin", ref.namespace, use.name or "")
    collector.used.add(target)
    fact = view.plugins.facts.get(target)
    if fact is None:
        if use.enabled:
            collector.fail(unresolved(f"{where}: {view.missing(target)}"))
    elif not may_use(tenant.name if tenant else None, fact.tenant):
        message = f"{where}: {target} belongs to another tenant"
        collector.fail(unresolved(message, Reason.REF_NOT_PERMITTED))
    elif fact.policy.enabled:
        if use.enabled:
            _note_broken(fact.policy, f"{where}: {target}", collector)
        _offer_once(fact.policy, where, use, collector)


def _offer_once(policy: Policy, where: str, use: PluginUse, collector: _Collector) -> None:
    if policy.type in collector.chosen:
        message = f"{where}: the type {policy.type!r} is listed before; the first one counts"
        collector.findings.append(partly(message))
    collector.offer(policy, off=not use.enabled)


def _offer_attached(
    ref: ObjectRef,
    route: Route,
    view: View,
    scope: GatewayScope,
    tenant: TenantFact | None,
    collector: _Collector,
    decided: frozenset[str],
) -> None:
    """Offer the Plugins that target the route, its backends, its tenant, its gateway."""
    targets = [attachment("Route", ref.namespace, ref.name)]
    targets += [
        attachment("Backend", ref.namespace, each.name)
        for each in route.spec.backends
        if each.kind == "Backend" and each.name
    ]
    if tenant is not None:
        targets.append(attachment("Tenant", tenant.namespace, tenant.name))
    targets.append(scope.attachment)
    for target in targets:
        collector.used.add(target)
        for fact in view.plugins.attached(target):
            mine = may_use(fact.tenant, tenant.name if tenant else "")
            if not mine or fact.policy.type in collector.chosen or fact.policy.type in decided:
                continue
            _note_broken(fact.policy, str(fact.ref), collector)
            collector.offer(fact.policy)


def _note_broken(policy: Policy, subject: str, collector: _Collector) -> None:
    if not policy.problem:
        return
    finding = unresolved(f"{subject} is not usable: {policy.problem}", Reason.INVALID)
    if policy.harmless_without:
        collector.findings.append(finding)
    else:
        collector.fail(finding)


def _apply(collector: _Collector, own: frozenset[str]) -> Policies:
    policies = Policies()
    for kind, policy in sorted(collector.chosen.items()):
        known = policy_type(kind)
        if policy is None or policy.config is None or known is None or kind in own:
            continue
        policies = known.apply(policies, policy.config, policy.name)
    return policies


def _cors(
    route: Route, policies: Policies, tenant: TenantFact | None, scope: GatewayScope
) -> CrossOrigin:
    nearest = route.spec.cors or policies.cors
    if nearest is not None:
        return same_for_all(nearest)
    if any(use.type == "cors" and not use.enabled for use in route.spec.plugins):
        return CrossOrigin()
    if tenant is not None and tenant.cors_origins:
        return tenant_origins(tenant.cors_origins)
    return same_for_all(scope.cors) if scope.cors else CrossOrigin()


def _key_auth(
    route: Route, auth: RouteAuth | None, tenant: TenantFact | None, collector: _Collector
) -> KeyAuth | None:
    if auth is None or auth.mode == "None":
        return None
    if "ApiKey" not in auth.credentials:
        message = "auth.credentials: JWT is not supported by this version; add ApiKey"
        collector.fail(invalid(message, Reason.UNSUPPORTED_TYPE))
        return None
    if "JWT" in auth.credentials:
        collector.findings.append(
            partly(
                "auth.credentials: JWT is not supported by this version; only API keys are taken"
            )
        )
    return KeyAuth(
        required=auth.mode == "Required",
        query=route.spec.realtime,
        scopes=scopes_of(
            auth.scopes,
            (auth.privilege_domain,) if auth.privilege_domain else (),
            (auth.sub_domain,) if auth.sub_domain else (),
        ),
        audiences=auth.audiences,
        tenants=(tenant.name,) if tenant else (),
    )


def _plan(
    limit: Limit | None, scope: GatewayScope, collector: _Collector
) -> tuple[str, PlanBucket | None]:
    if limit is None:
        return "", None
    if limit.plan is None:
        return limit.bucket, PlanBucket(limit.bucket, limit.requests, limit.window_ms, limit.burst)
    if limit.plan not in scope.plans:
        known = ", ".join(sorted(scope.plans)) or "none"
        # without its plan the route would be unlimited
        collector.fail(
            unresolved(
                f"rateLimit.plan: there is no plan {limit.plan!r} on {scope.ref}; known: {known}"
            )
        )
        return "", None
    return limit.plan, None
