"""GatewayConfigs: listeners, plans, and what every route of a gateway inherits."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluxgate.api.v1alpha1 import GatewayConfig, duration_ms
from fluxgate.api.v1alpha1.extensions import Extensions
from fluxgate.api.v1alpha1.gatewayconfig import Plan
from fluxgate.api.v1alpha1.policy import Cors, Retry, Timeouts
from fluxgate.ir import (
    AccessLogIR,
    ApiKeyTable,
    Gateway,
    ListenerIR,
    PlanBucket,
)
from fluxgate.resources import ObjectRef, ServerCertificates, ref_of
from fluxgate.translator.certificates import SecretLookup
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.findings import Finding
from fluxgate.translator.listeners import Listeners
from fluxgate.translator.policies import attachment
from fluxgate.translator.rate_limit_service import (
    QuotaScope,
    RateLimitServiceFact,
    exact_plans,
    missing_service,
    read_quotas,
    read_service,
)
from fluxgate.translator.result import gateway_key
from fluxgate.translator.telemetry import collector_clusters, log_export_of, tracing_of
from fluxgate.translator.tenants import TenantIndex


@dataclass(frozen=True, slots=True)
class GatewayScope:
    """What routes and keys see of a gateway. When it is equal, none of them is looked at again."""

    key: str
    ref: ObjectRef
    attachment: ObjectRef
    """What a route depends on when it asks which Plugins target the gateway."""
    listeners: tuple[str, ...]
    plans: frozenset[str]
    audiences: tuple[tuple[str, str], ...]
    """(prefix, audience) of every key format."""
    cors: Cors | None
    timeouts: Timeouts | None
    retry: Retry | None
    sidecars: bool = False
    """Whether every Envoy of it runs in an application's pod (``spec.mode``)."""
    extensions: Extensions = field(default_factory=Extensions)
    """Which types that run code are admitted."""
    verifies_clients: bool = False
    """Whether one of its listeners asks for client certificates."""
    sockets: tuple[str, ...] = ()
    """Folders whose Unix sockets Upstreams may name."""
    clusters: tuple[ClusterSpec, ...] = ()
    """What the gateway itself calls, whatever its routes do: collectors of spans and logs."""
    exact_plans: frozenset[str] = frozenset()
    """The plans that the rate limit service could count."""
    rate_limit_service: RateLimitServiceFact | None = None
    quotas: QuotaScope = field(default_factory=QuotaScope)
    max_body_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GatewayFact:
    """A gateway without its routes, clusters and keys."""

    scope: GatewayScope
    base: Gateway
    findings: tuple[Finding, ...]


def build_gateway(
    config: GatewayConfig,
    lookup: SecretLookup,
    added: tuple[ServerCertificates, ...] = (),
    tenants: TenantIndex | None = None,
) -> GatewayFact:
    """Translate one GatewayConfig; a listener whose certificate is missing is left out.

    ``added`` are certificates for its HTTPS listeners that the config itself does not name.
    """
    ref, spec, tenants = ref_of(config), config.spec, tenants or TenantIndex()
    key = gateway_key(ref)
    reading = Listeners(config, lookup, added)
    listeners = reading.build()
    findings = reading.findings
    findings.extend(missing_service(config, tenants))
    service = read_service(config, ref)
    scope = GatewayScope(
        key=key,
        ref=ref,
        attachment=attachment("GatewayConfig", ref.namespace, ref.name),
        listeners=tuple(each.name for each in listeners),
        plans=frozenset(plan.name for plan in spec.plans),
        audiences=tuple((each.prefix, each.audience) for each in spec.api_keys.formats),
        cors=spec.cors,
        timeouts=spec.timeouts,
        retry=spec.retry,
        sidecars=spec.mode == "Sidecar",
        extensions=spec.extensions,
        clusters=collector_clusters(spec, ref) + ((service.cluster,) if service else ()),
        exact_plans=exact_plans(config),
        rate_limit_service=service,
        quotas=read_quotas(config, tenants),
        max_body_bytes=spec.limits.max_request_body_bytes,
        verifies_clients=any(each.tls and each.tls.client_ca for each in listeners),
        sockets=tuple(each.rstrip("/") or "/" for each in spec.upstream_sockets),
    )
    return GatewayFact(scope, _base(config, key, ref, listeners), tuple(findings))


def _base(
    config: GatewayConfig, key: str, ref: ObjectRef, listeners: tuple[ListenerIR, ...]
) -> Gateway:
    spec, limits, log = config.spec, config.spec.limits, config.spec.logging.access_log
    return Gateway(
        name=key,
        origin=ref,
        listeners=listeners,
        route_tables=(),
        clusters=(),
        api_keys=ApiKeyTable(tuple(sorted(each.prefix for each in spec.api_keys.formats))),
        plans=tuple(sorted(map(_plan, spec.plans), key=lambda plan: plan.name)),
        access_log=AccessLogIR(log.path if log.enabled else ""),
        log_export=log_export_of(spec, ref),
        tracing=tracing_of(spec, ref),
        trusted_hops=spec.trusted_hops,
        preserve_request_id=spec.request_id.preserve_external,
        max_request_headers_kib=limits.max_request_headers_kib,
        max_headers=limits.max_headers,
        max_concurrent_streams=limits.max_concurrent_streams,
        client_header_timeout_ms=duration_ms(limits.client_header_timeout),
        idle_timeout_ms=duration_ms(limits.idle_timeout),
        proxyless=spec.proxyless,
    )


def _plan(plan: Plan) -> PlanBucket:
    return PlanBucket(
        plan.name, plan.requests, max(duration_ms(plan.window), 1), plan.burst or plan.requests
    )
