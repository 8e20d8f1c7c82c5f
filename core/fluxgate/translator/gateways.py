"""GatewayConfigs: listeners, plans, and what every route of a gateway inherits."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.api.v1alpha1 import GatewayConfig, duration_ms
from fluxgate.api.v1alpha1.gatewayconfig import Plan
from fluxgate.api.v1alpha1.listener import Listener
from fluxgate.api.v1alpha1.policy import Cors, Retry, Timeouts
from fluxgate.ir import (
    AccessLogIR,
    ApiKeyTable,
    Gateway,
    ListenerIR,
    ListenerTLSIR,
    PlanBucket,
)
from fluxgate.resources import ObjectRef, ServerCertificates, ref_of
from fluxgate.translator.certificates import SecretLookup, resolve_ca, resolve_certificate
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.findings import Finding, invalid, partly
from fluxgate.translator.policies import attachment
from fluxgate.translator.result import gateway_key
from fluxgate.translator.server_certificates import server_names
from fluxgate.translator.telemetry import collector_clusters, log_export_of, tracing_of


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
    verifies_clients: bool = False
    """Whether one of its listeners asks for client certificates."""
    clusters: tuple[ClusterSpec, ...] = ()
    """What the gateway itself calls, whatever its routes do: collectors of spans and logs."""


@dataclass(frozen=True, slots=True)
class GatewayFact:
    """A gateway without its routes, clusters and keys."""

    scope: GatewayScope
    base: Gateway
    findings: tuple[Finding, ...]


def build_gateway(
    config: GatewayConfig, lookup: SecretLookup, added: tuple[ServerCertificates, ...] = ()
) -> GatewayFact:
    """Translate one GatewayConfig; a listener whose certificate is missing is left out.

    ``added`` are certificates for its HTTPS listeners that the config itself does not name.
    """
    ref, spec = ref_of(config), config.spec
    key = gateway_key(ref)
    findings: list[Finding] = []
    listeners = tuple(
        built
        for index, each in enumerate(spec.listeners)
        if (built := _listener(each, f"spec.listeners[{index}]", ref, lookup, findings, added))
    )
    if not listeners:
        findings.append(invalid("spec.listeners: none of the listeners can be served"))
    elif any(not each.partial for each in findings):
        findings.append(partly("spec.listeners: some listeners are left out"))
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
        clusters=collector_clusters(spec, ref),
        verifies_clients=any(each.tls and each.tls.client_ca for each in listeners),
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


def _listener(
    listener: Listener,
    field: str,
    owner: ObjectRef,
    lookup: SecretLookup,
    findings: list[Finding],
    added: tuple[ServerCertificates, ...],
) -> ListenerIR | None:
    tls = None
    if listener.tls is not None:
        names = [
            resolve_certificate(
                f"{field}.tls.certificateRefs[{index}]", each, owner.namespace, lookup
            )
            for index, each in enumerate(listener.tls.certificate_refs)
        ]
        validation, client_ca = listener.tls.client_validation, ""
        if validation is not None:
            where = f"{field}.tls.clientValidation.caCertificateRef"
            names.append(resolve_ca(where, validation.ca_certificate_ref, owner.namespace, lookup))
        problems = [each for each in names if isinstance(each, Finding)]
        if problems:
            # without its client CA a listener would let everyone in: closed
            findings.extend(problems)
            return None
        good = [each for each in names if isinstance(each, str)]
        if validation is not None:
            client_ca = good.pop()
        tls = ListenerTLSIR(
            tuple(good),
            listener.tls.min_version,
            client_ca,
            client_certificate_optional=validation is not None and validation.optional,
            by_name=server_names(listener.hostnames, added, lookup),
        )
    return ListenerIR(
        name=listener.name,
        address=listener.address,
        port=listener.port,
        route_table=gateway_key(owner),
        server_names=listener.hostnames,
        tls=tls,
    )
