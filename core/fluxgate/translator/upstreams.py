"""Upstreams: pools of targets."""

from __future__ import annotations

from posixpath import dirname

from fluxgate.api.v1alpha1 import Upstream, duration_ms
from fluxgate.api.v1alpha1.upstream import UNIX, Target, UpstreamSpec
from fluxgate.ir import EndpointIR, Health
from fluxgate.resources import ref_of
from fluxgate.translator.balancing import hash_policy, load_balancer
from fluxgate.translator.certificates import SecretLookup
from fluxgate.translator.checks import active_check, outlier_detection
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec, is_address
from fluxgate.translator.connections import connections, resolution, thresholds_of
from fluxgate.translator.destinations import (
    Destination,
    Resolved,
    Share,
    tls_secrets,
    tls_settings,
)
from fluxgate.translator.findings import Finding, invalid, partly

SIDECAR = "sidecar/"

MAX_SOCKET_PATH = 107
"""What fits into ``sun_path`` (unix(7)) beside its end."""


def upstream_pool(namespace: str, name: str) -> str:
    """The name of an Upstream's endpoint pool."""
    return f"upstream/{namespace}/{name}"


def sidecar_pool(namespace: str, name: str) -> str:
    """The name of the endpoint pool of an Upstream of type Sidecar; no other pool begins so."""
    return f"{SIDECAR}{namespace}/{name}"


def upstream_endpoints(upstream: Upstream) -> tuple[EndpointIR, ...]:
    """The targets that take requests; Envoy knows no weight 0, so such a target is left out."""
    zones = {each.name: each for each in upstream.spec.zones}
    weighted = any(each.weight for each in zones.values())
    found = []
    for each in upstream.spec.targets:
        if each.weight:
            zone = zones.get(each.zone or "")
            # a zone without a weight would take nothing beside those that have one
            weight = (zone.weight if zone and zone.weight else 1) if weighted else 0
            found.append(
                EndpointIR(
                    each.host,
                    each.port,
                    each.weight,
                    Health(each.health),
                    each.zone or "",
                    zone.priority if zone else 0,
                    weight,
                )
            )
    return tuple(found)


def resolve_upstream(upstream: Upstream, lookup: SecretLookup) -> Resolved:
    """The destination that an Upstream is."""
    ref, spec = ref_of(upstream), upstream.spec
    used = tls_secrets(spec.tls, ref.namespace)
    findings = _problems(spec)
    tls, tls_findings = tls_settings(spec.tls, ref.namespace, lookup)
    findings += tls_findings
    if any(not each.partial for each in findings):
        return Resolved(None, tuple(findings), used)
    checks = spec.health_checks
    settings = ClusterSettings(
        dns="name" in _kinds(spec),
        protocol=spec.protocol,
        connect_timeout_ms=duration_ms(spec.connect_timeout),
        load_balancer=load_balancer(spec.load_balancing, spec.zones),
        active_check=active_check(checks),
        outlier_detection=outlier_detection(checks),
        panic_threshold=checks.panic_threshold if checks else None,
        thresholds=thresholds_of(spec.circuit_breaker),
        tls=tls,
        resolution=resolution(spec.dns),
        connections=connections(spec.connection),
        sockets=_folders(spec),
    )
    pool = sidecar_pool if spec.type == "Sidecar" else upstream_pool
    cluster = ClusterSpec.of(pool(ref.namespace, ref.name), settings, (ref,))
    hashed = hash_policy(spec.load_balancing.hash_on)
    destination = Destination((Share(cluster, 1),), spec.tenant, hashed)
    return Resolved(destination, tuple(findings), used)


def _kind(target: Target) -> str:
    if target.host.startswith(UNIX):
        return "socket"
    return "address" if is_address(target.host) else "name"


def _kinds(spec: UpstreamSpec) -> set[str]:
    return {_kind(each) for each in spec.targets if each.weight}


def _folders(spec: UpstreamSpec) -> tuple[str, ...]:
    """The folders of the targets that are Unix sockets."""
    hosts = (each.host for each in spec.targets if each.host.startswith(UNIX))
    return tuple(sorted({dirname(host.removeprefix(UNIX)) for host in hosts}))


def _problems(spec: UpstreamSpec) -> list[Finding]:
    findings = []
    if not duration_ms(spec.connect_timeout):
        findings.append(invalid("spec.connectTimeout: has to be longer than 0s"))
    if "name" in (kinds := _kinds(spec)) and len(kinds) > 1:
        findings.append(
            invalid(
                "spec.targets: IP addresses and DNS names cannot share a pool; "
                "use one kind, or two Upstreams with weights on the route"
            )
        )
    for index, each in enumerate(spec.targets):
        if ":" in each.host and _kind(each) == "name":
            findings.append(
                invalid(
                    f"spec.targets[{index}].host: {each.host!r} is no address; the port goes into port"
                )
            )
        elif _kind(each) == "socket" and len(each.host) - len(UNIX) > MAX_SOCKET_PATH:
            findings.append(
                invalid(
                    f"spec.targets[{index}].host: the path of a Unix socket has at most "
                    f"{MAX_SOCKET_PATH} characters"
                )
            )
    if spec.load_balancing.policy == "Random" and len({t.weight for t in spec.targets} - {0}) > 1:
        findings.append(
            partly(
                "spec.targets: the policy Random gives every target the same share, whatever its "
                "weight; use RoundRobin or LeastRequest"
            )
        )
    return [*findings, *_dns_problems(spec, kinds)]


def _dns_problems(spec: UpstreamSpec, kinds: set[str]) -> list[Finding]:
    if spec.dns is None:
        return []
    if "name" not in kinds:
        return [partly("spec.dns: has no effect, because no target is a DNS name")] if kinds else []
    if spec.dns.discovery == "Logical" and sum(each.weight > 0 for each in spec.targets) > 1:
        return [invalid("spec.dns.discovery: Logical takes one target; use Strict for several")]
    return []
