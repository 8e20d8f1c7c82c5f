"""The rate limit service of a gateway, and what its plans and tenants count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import GatewayConfig, duration_ms
from fluxgate.api.v1alpha1.tenant import Quota
from fluxgate.api.v1alpha1.windows import is_exact_window
from fluxgate.ir import Shared
from fluxgate.ir.policies.rate_limit import QuotaUse, RateLimitServer, TenantQuota
from fluxgate.resources import ObjectRef
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.destinations import url_cluster, url_pool
from fluxgate.translator.findings import Finding, partly
from fluxgate.translator.tenants import TenantFact, TenantIndex


@dataclass(frozen=True, slots=True)
class RateLimitServiceFact:
    """The service as routes see it: what its filter needs, and the cluster it is reached by."""

    server: RateLimitServer
    cluster: ClusterSpec


@dataclass(frozen=True, slots=True)
class QuotaScope:
    """Which counters the quotas of a gateway's plans and tenants need."""

    local: bool = False
    exact: bool = False

    def on_route(self, tenant: TenantFact | None) -> QuotaUse | None:
        """What a route of ``tenant`` counts; None when nobody has a quota."""
        if not (self.local or self.exact):
            return None
        return QuotaUse(tenant.name if tenant else "", self.local, self.exact)


def read_service(config: GatewayConfig, ref: ObjectRef) -> RateLimitServiceFact | None:
    """The service of a gateway, if it has one."""
    service = config.spec.rate_limit_service
    if service is None:
        return None
    cluster = url_cluster(service.url, url_pool(service.url), ref).with_protocol("GRPC")
    timeout, closed = max(duration_ms(service.timeout), 1), service.failure_mode == "Closed"
    return RateLimitServiceFact(RateLimitServer(cluster.name, ref, timeout, closed), cluster)


def exact_plans(config: GatewayConfig) -> frozenset[str]:
    """The plans whose window the service can count in."""
    return frozenset(each.name for each in config.spec.plans if is_exact_window(each.window))


def read_quotas(config: GatewayConfig, tenants: TenantIndex) -> QuotaScope:
    """The counters that the quotas need; without a service every Envoy counts by itself."""
    policies = {each.policy for each in _quotas(config, tenants)}
    if config.spec.rate_limit_service is None:
        return QuotaScope(local=bool(policies))
    return QuotaScope("Local" in policies, "Redis" in policies)


def missing_service(config: GatewayConfig, tenants: TenantIndex) -> tuple[Finding, ...]:
    """What to say when quotas ask for Redis and there is no service: they are counted, less well."""
    if config.spec.rate_limit_service is not None or all(
        each.policy == "Local" for each in _quotas(config, tenants)
    ):
        return ()
    return (
        partly(
            "spec.rateLimitService: quotas of plans or tenants have policy Redis; without the "
            "service every Envoy counts them by itself"
        ),
    )


def _quotas(config: GatewayConfig, tenants: TenantIndex) -> Iterator[Quota]:
    for plan in config.spec.plans:
        yield from plan.quotas
    yield from tenants.quotas


def gateway_limits(
    config: GatewayConfig, service: RateLimitServiceFact | None, tenants: TenantIndex
) -> tuple[Shared, ...]:
    """What a gateway has for limits whatever its routes do: its service, and tenants' quotas."""
    servers: tuple[Shared, ...] = () if service is None else (service.server,)
    return (*servers, *tenant_quotas(config, tenants))


def tenant_quotas(config: GatewayConfig, tenants: TenantIndex) -> tuple[TenantQuota, ...]:
    """Every tenant's quotas on a gateway: its own, and those of its plan under other names."""
    plans = {plan.name: plan.quotas for plan in config.spec.plans}
    service = config.spec.rate_limit_service is not None
    return tuple(
        made
        for tenant in tenants.by_name.values()
        for made in _of_tenant(tenant, plans.get(tenant.plan or "", ()), service)
    )


def _of_tenant(
    tenant: TenantFact, of_plan: Iterable[Quota], service: bool
) -> Iterable[TenantQuota]:
    quotas = {each.name: each for each in of_plan} | {each.name: each for each in tenant.quotas}
    for name, quota in sorted(quotas.items()):
        yield TenantQuota(
            name=f"{tenant.name}/{name}",
            origin=tenant.ref,
            tenant=tenant.name,
            quota=name,
            limit=quota.limit,
            window_ms=max(duration_ms(quota.window), 1),
            exact=service and quota.policy == "Redis",
        )
