"""Upstreams: pools of targets."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import Upstream, duration_ms
from fluxgate.api.v1alpha1.upstream import ActiveHealthCheck, HashOn, PassiveHealthCheck
from fluxgate.ir import (
    ActiveCheck,
    EndpointIR,
    HashPolicy,
    Health,
    LoadBalancer,
    OutlierDetection,
)
from fluxgate.resources import ref_of
from fluxgate.translator.certificates import SecretLookup
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec, is_address
from fluxgate.translator.destinations import (
    Destination,
    Resolved,
    Share,
    thresholds_of,
    tls_secrets,
    tls_settings,
)
from fluxgate.translator.findings import Finding, invalid

SIDECAR = "sidecar/"


def upstream_pool(namespace: str, name: str) -> str:
    """The name of an Upstream's endpoint pool."""
    return f"upstream/{namespace}/{name}"


def sidecar_pool(namespace: str, name: str) -> str:
    """The name of the endpoint pool of an Upstream of type Sidecar; no other pool begins so."""
    return f"{SIDECAR}{namespace}/{name}"


def upstream_endpoints(upstream: Upstream) -> tuple[EndpointIR, ...]:
    """The targets that take requests; Envoy knows no weight 0, so such a target is left out."""
    return tuple(
        EndpointIR(each.host, each.port, each.weight, Health(each.health), each.zone or "")
        for each in upstream.spec.targets
        if each.weight
    )


def resolve_upstream(upstream: Upstream, lookup: SecretLookup) -> Resolved:
    """The destination that an Upstream is."""
    ref, spec = ref_of(upstream), upstream.spec
    used = tls_secrets(spec.tls, ref.namespace)
    findings = _problems(upstream)
    dns = any(not is_address(each.host) for each in spec.targets if each.weight)
    tls, tls_findings = tls_settings(spec.tls, ref.namespace, lookup)
    findings += tls_findings
    if findings:
        return Resolved(None, tuple(findings), used)
    checks = spec.health_checks
    balancing = spec.load_balancing
    slow_start = balancing.slow_start
    settings = ClusterSettings(
        dns=dns,
        protocol=spec.protocol,
        connect_timeout_ms=duration_ms(spec.connect_timeout),
        load_balancer=LoadBalancer(
            balancing.policy, duration_ms(slow_start.window) if slow_start else 0
        ),
        active_check=_active(checks.active) if checks and checks.active else None,
        outlier_detection=_passive(checks.passive) if checks and checks.passive else None,
        panic_threshold=checks.panic_threshold if checks else None,
        thresholds=thresholds_of(spec.circuit_breaker),
        tls=tls,
    )
    pool = sidecar_pool if spec.type == "Sidecar" else upstream_pool
    cluster = ClusterSpec.of(pool(ref.namespace, ref.name), settings, (ref,))
    destination = Destination((Share(cluster, 1),), spec.tenant, _hash_policy(balancing.hash_on))
    return Resolved(destination, (), used)


def _problems(upstream: Upstream) -> list[Finding]:
    spec = upstream.spec
    findings = []
    kinds = {is_address(each.host) for each in spec.targets if each.weight}
    if len(kinds) > 1:
        findings.append(
            invalid(
                "spec.targets: IP addresses and DNS names cannot share a pool; "
                "use one kind, or two Upstreams with weights on the route"
            )
        )
    for index, each in enumerate(spec.targets):
        if ":" in each.host and not is_address(each.host):
            findings.append(
                invalid(
                    f"spec.targets[{index}].host: {each.host!r} is no address; the port goes into port"
                )
            )
    return findings


def _hash_policy(hash_on: HashOn | None) -> HashPolicy | None:
    if hash_on is None:
        return None
    if hash_on.type == "SourceIP":
        return HashPolicy(source_ip=True)
    if hash_on.type == "Header":
        return HashPolicy(header=(hash_on.name or "").lower())
    ttl = duration_ms(hash_on.cookie_ttl) if hash_on.cookie_ttl else 0
    return HashPolicy(cookie=hash_on.name or "", cookie_ttl_ms=ttl)


def _active(check: ActiveHealthCheck) -> ActiveCheck:
    return ActiveCheck(
        type=check.type,
        path=check.path,
        host=check.host or "",
        service=check.service or "",
        interval_ms=max(duration_ms(check.interval), 1),
        timeout_ms=max(duration_ms(check.timeout), 1),
        healthy_threshold=check.healthy_threshold,
        unhealthy_threshold=check.unhealthy_threshold,
        expected_statuses=check.expected_statuses,
    )


def _passive(check: PassiveHealthCheck) -> OutlierDetection:
    return OutlierDetection(
        consecutive_5xx=check.consecutive_5xx,
        interval_ms=max(duration_ms(check.interval), 1),
        base_ejection_ms=max(duration_ms(check.base_ejection_time), 1),
        max_ejection_percent=check.max_ejection_percent,
    )
