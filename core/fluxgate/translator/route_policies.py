"""Which policies protect a Route on one gateway, and whether all of them could be set up."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fluxgate.api.v1alpha1 import Route
from fluxgate.api.v1alpha1.route import PluginUse
from fluxgate.ir import KeyAuth, PlanBucket, PolicyOrigin
from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator.access import resolve_access, unused_tokens
from fluxgate.translator.applying import apply_policies
from fluxgate.translator.backends import may_use
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.cross_origin import CrossOrigin, same_for_all, tenant_origins
from fluxgate.translator.findings import Finding, PolicyError, invalid, partly, unresolved
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.inherited import inherit
from fluxgate.translator.plugins import Limit, Policies
from fluxgate.translator.plugins.rate_limit import limit_of
from fluxgate.translator.policies import Policy, attachment, policy_name, read_config
from fluxgate.translator.tenants import TenantFact
from fluxgate.translator.view import View


@dataclass(frozen=True, slots=True)
class Protection:
    """The policies of a Route as IR; ``refuse``: one of them could not be set up."""

    policies: Policies
    key_auth: KeyAuth | None
    cors: CrossOrigin
    plan: str
    bucket: PlanBucket | None
    refuse: bool
    findings: tuple[Finding, ...]
    used: frozenset[ObjectRef]
    clusters: tuple[ClusterSpec, ...] = ()
    chain: tuple[PolicyOrigin, ...] = ()


class _Collector:
    """Gathers the policies of each type, the nearest scope first."""

    def __init__(self) -> None:
        self.chosen: dict[str, list[Policy]] = {}
        self.off: set[str] = set()
        self.findings: list[Finding] = []
        self.refuse = False
        self.used: set[ObjectRef] = set()

    def decided(self, kind: str) -> bool:
        """Whether wider scopes have no say in policies of this type any more."""
        stack = self.chosen.get(kind, ())
        return kind in self.off or (len(stack) > 0 and not stack[-1].append)

    def offer(self, policy: Policy) -> None:
        """Take ``policy`` unless a nearer scope decided."""
        if not self.decided(policy.type):
            self.chosen.setdefault(policy.type, []).append(policy)

    def fail(self, finding: Finding) -> None:
        """Something is broken that may have protected the route: close it."""
        self.findings.append(finding)
        self.refuse = True

    def broken(self, policy: Policy, finding: Finding) -> None:
        """A policy is of no use: close the route, unless it is as well protected without."""
        self.findings.append(finding)
        self.refuse = self.refuse or not policy.harmless_without


def resolve_policies(
    ref: ObjectRef, route: Route, view: View, scope: GatewayScope, tenant: TenantFact | None
) -> Protection:
    """Choose, check and combine the policies of ``route`` on one gateway."""
    collector, decided, spec = _Collector(), _decided_by_fields(route), route.spec
    for index, use in enumerate(spec.plugins):
        _offer_use(use, index, ref, view, tenant, collector)
    _offer_attached(ref, route, view, scope, tenant, collector, decided)
    applied = apply_policies(collector.chosen, decided, ref, route, view, scope, tenant)
    for policy, finding in applied.broken:
        collector.broken(policy, finding)
    collector.findings.extend(applied.findings)
    policies = inherit(applied.policies, route, scope, tenant)
    limit = policies.limit
    if spec.rate_limit is not None:
        limit = limit_of(spec.rate_limit, f"route/{ref.namespace}/{ref.name}")
    cors = _cors(route, policies, tenant, scope)
    key_auth, policies = _access(route, policies, tenant, scope, collector)
    plan, bucket = _plan(limit, scope, collector)
    if spec.async_ is not None and spec.async_.enabled:
        message = "spec.async: is not supported by this version; remove it to call synchronously"
        collector.fail(invalid(message, Reason.UNSUPPORTED_TYPE))
    return Protection(
        policies,
        key_auth,
        cors,
        plan,
        bucket,
        collector.refuse,
        tuple(collector.findings),
        frozenset(collector.used | applied.used),
        applied.clusters,
        _with_defaults(applied.chain, cors, tenant, scope),
    )


def _with_defaults(
    chain: tuple[PolicyOrigin, ...],
    cors: CrossOrigin,
    tenant: TenantFact | None,
    scope: GatewayScope,
) -> tuple[PolicyOrigin, ...]:
    """The chain, and who decides about other origins where no policy does."""
    if cors == CrossOrigin() or any(each.type == "cors" for each in chain):
        return chain
    source = scope.ref
    if tenant is not None and tenant.cors_origins:
        source = ObjectRef("Tenant", tenant.namespace, tenant.name)
    return tuple(sorted((*chain, PolicyOrigin("cors", source)), key=lambda each: each.type))


def _decided_by_fields(route: Route) -> frozenset[str]:
    spec = route.spec
    fields = {
        "key-auth": spec.auth,
        "cors": spec.cors,
        "rate-limit": spec.rate_limit,
        "timeout": spec.timeouts,
        "retry": spec.retry,
        "circuit-breaker": spec.circuit_breaker,
    }
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
        config, problem, reason = read_config(use.type, use.config)
        name, append = policy_name(ref, index), use.merge_strategy == "Append"
        policy = Policy(use.type, name, ref, where, config, problem, use.enabled, append)
        if use.enabled and reason is not None:
            collector.broken(policy, invalid(f"{where}.{problem}", reason))
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
        policy = replace(fact.policy, where=f"{where}: {target}")
        if use.enabled:
            _note_broken(policy, collector)
        _offer_once(policy, where, use, collector)


def _offer_once(policy: Policy, where: str, use: PluginUse, collector: _Collector) -> None:
    if collector.decided(policy.type):
        message = f"{where}: the type {policy.type!r} is listed before; the first one counts"
        collector.findings.append(partly(message))
    elif use.enabled:
        collector.offer(policy)
    else:
        collector.off.add(policy.type)


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
            kind = fact.policy.type
            if not mine or kind in decided or collector.decided(kind):
                continue
            _note_broken(fact.policy, collector)
            collector.offer(fact.policy)


def _note_broken(policy: Policy, collector: _Collector) -> None:
    if policy.problem:
        message = f"{policy.where} is not usable: {policy.problem}"
        collector.broken(policy, unresolved(message, Reason.INVALID))


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


def _access(
    route: Route,
    policies: Policies,
    tenant: TenantFact | None,
    scope: GatewayScope,
    collector: _Collector,
) -> tuple[KeyAuth | None, Policies]:
    """What is asked of API keys, and the policies with what is asked of other credentials."""
    try:
        key_auth, access = resolve_access(route, policies, tenant, scope)
    except PolicyError as error:
        collector.fail(invalid(str(error), error.reason))
        return None, policies
    if message := unused_tokens(policies, key_auth):
        collector.findings.append(partly(message))
    return key_auth, policies if access is None else policies.adding(access)


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
