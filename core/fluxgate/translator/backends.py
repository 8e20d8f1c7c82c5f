"""Backends: one service, its settings, and its canary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from fluxgate.api.v1alpha1 import Backend
from fluxgate.api.v1alpha1.backend import BackendSpec, Canary
from fluxgate.api.v1alpha1.base import split_url
from fluxgate.api.v1alpha1.policy import BackendTLS
from fluxgate.ir import ActiveCheck, HashPolicy, ValueKind, ValueMatch
from fluxgate.resources import ObjectRef, ServiceEndpoints, ref_of
from fluxgate.status import Reason
from fluxgate.translator.balancing import hash_policy, load_balancer
from fluxgate.translator.certificates import SecretLookup
from fluxgate.translator.checks import active_check, outlier_detection, path_check
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec, is_address
from fluxgate.translator.connections import connections, resolution, thresholds_of
from fluxgate.translator.destinations import (
    Destination,
    Detour,
    Resolved,
    Share,
    service_pool,
    tls_secrets,
    tls_settings,
)
from fluxgate.translator.findings import Finding, invalid, unresolved
from fluxgate.translator.route_matches import cookie_value


@dataclass(frozen=True, slots=True)
class Lookups:
    """How a backend finds what it refers to. ``missing`` words why something is not there."""

    secret: SecretLookup
    service: Callable[[ObjectRef], ServiceEndpoints | None]
    upstream: Callable[[ObjectRef], Destination | None]
    backend: Callable[[ObjectRef], Backend | None]
    missing: Callable[[ObjectRef], str]


@dataclass(frozen=True, slots=True)
class _Main:
    cluster: ClusterSpec
    hash_policy: HashPolicy | None = None


def resolve_backend(backend: Backend, lookups: Lookups) -> Resolved:
    """The destination that a Backend is: itself, and its canary's share."""
    spec = backend.spec
    used: set[ObjectRef] = set()
    findings: list[Finding] = []
    main = _main(backend, lookups, used, findings)
    if main is None:
        return Resolved(None, tuple(findings), frozenset(used))
    shares: tuple[Share, ...] = (Share(main.cluster, 1),)
    detours: tuple[Detour, ...] = ()
    if spec.canary is not None:
        canary = _canary(backend, lookups, used, findings)
        if canary is not None:
            weight = spec.canary.weight
            shares = (Share(main.cluster, 100 - weight), Share(canary, weight))
            detours = tuple(Detour((each,), canary) for each in _wanted(spec.canary))
    destination = Destination(
        shares=shares,
        tenant=spec.tenant,
        hash_policy=_hash_policy(spec, main.hash_policy),
        detours=detours,
        sticky=spec.canary.sticky if spec.canary else None,
        timeouts=spec.timeouts,
        retry=spec.retry,
    )
    return Resolved(destination, tuple(findings), frozenset(used))


def _wanted(canary: Canary) -> Iterator[ValueMatch]:
    """What a request that wants the canary looks like: one of these."""
    if (header := canary.header) is not None:
        kind = ValueKind.EXACT if header.value else ValueKind.PRESENT
        yield ValueMatch(header.name.lower(), kind, header.value)
    if (cookie := canary.cookie) is not None:
        yield cookie_value(cookie.name, cookie.value)


def _hash_policy(spec: BackendSpec, inherited: HashPolicy | None) -> HashPolicy | None:
    if spec.load_balancing is None:
        return inherited
    return hash_policy(spec.load_balancing.hash_on)


def may_use(user: str | None, owner: str | None) -> bool:
    """Within one namespace, a tenant's object uses its own and those of nobody in particular."""
    return user is None or owner is None or user == owner


def _main(
    backend: Backend, lookups: Lookups, used: set[ObjectRef], findings: list[Finding]
) -> _Main | None:
    spec, ref = backend.spec, ref_of(backend)
    used |= tls_secrets(spec.tls, ref.namespace)
    if spec.url is not None:
        return _url(backend, lookups, findings)
    if spec.service is not None:
        target = ObjectRef("Service", ref.namespace, spec.service.name)
        used.add(target)
        service = lookups.service(target)
        problem = service_problem("spec.service", service, target, spec.service.port, lookups)
        if problem:
            findings.append(problem)
            return None
        pool = service_pool(ref.namespace, spec.service.name, spec.service.port)
        settings = _settings(backend, ClusterSettings(), lookups, findings)
        return _Main(ClusterSpec.of(pool, settings, (ref,))) if settings else None
    return _upstream(backend, lookups, used, findings)


def service_problem(
    field: str,
    service: ServiceEndpoints | None,
    ref: ObjectRef,
    port: int,
    lookups: Lookups,
) -> Finding | None:
    """Why a port of a Service cannot be used."""
    if service is None:
        return unresolved(f"{field}: {lookups.missing(ref)}")
    if service.note:
        return unresolved(f"{field}: {ref} {service.note}")
    if port not in service.ports:
        known = ", ".join(map(str, sorted(service.ports))) or "none"
        return unresolved(f"{field}.port: {ref} has no port {port}; its ports: {known}")
    return None


def _url(backend: Backend, lookups: Lookups, findings: list[Finding]) -> _Main | None:
    ref = ref_of(backend)
    scheme, host, _ = split_url(backend.spec.url or "")
    base = ClusterSettings(dns=not is_address(host))
    default_tls = BackendTLS() if scheme == "https" else None
    settings = _settings(backend, base, lookups, findings, default_tls, host)
    if settings is None:
        return None
    return _Main(ClusterSpec.of(f"backend/{ref.namespace}/{ref.name}", settings, (ref,)))


def _upstream(
    backend: Backend, lookups: Lookups, used: set[ObjectRef], findings: list[Finding]
) -> _Main | None:
    spec, ref = backend.spec, ref_of(backend)
    target = ObjectRef("Upstream", ref.namespace, spec.upstream or "")
    used.add(target)
    found = _permitted_upstream("spec.upstream", target, backend, lookups, findings)
    if found is None:
        return None
    cluster = found.shares[0].cluster
    settings = _settings(backend, cluster.settings, lookups, findings)
    if settings is None:
        return None
    if settings == cluster.settings:
        return _Main(cluster, found.hash_policy)
    return _Main(ClusterSpec.of(cluster.pool, settings, (*cluster.origins, ref)), found.hash_policy)


def _permitted_upstream(
    field: str, target: ObjectRef, backend: Backend, lookups: Lookups, findings: list[Finding]
) -> Destination | None:
    found = lookups.upstream(target)
    if found is None:
        findings.append(unresolved(f"{field}: {lookups.missing(target)}"))
        return None
    if not may_use(backend.spec.tenant, found.tenant):
        findings.append(
            unresolved(f"{field}: {target} belongs to another tenant", Reason.REF_NOT_PERMITTED)
        )
        return None
    return found


def _canary(
    backend: Backend, lookups: Lookups, used: set[ObjectRef], findings: list[Finding]
) -> ClusterSpec | None:
    """The canary's own cluster; a canary of a canary takes no share."""
    canary = backend.spec.canary
    assert canary is not None
    target = ObjectRef(canary.kind, backend.metadata.namespace, canary.name)
    used.add(target)
    if canary.kind == "Upstream":
        found = _permitted_upstream("spec.canary.name", target, backend, lookups, findings)
        return found.shares[0].cluster if found else None
    other = lookups.backend(target)
    if other is None:
        findings.append(unresolved(f"spec.canary.name: {lookups.missing(target)}"))
        return None
    if not may_use(backend.spec.tenant, other.spec.tenant):
        message = f"spec.canary.name: {target} belongs to another tenant"
        findings.append(unresolved(message, Reason.REF_NOT_PERMITTED))
        return None
    theirs: list[Finding] = []
    main = _main(other, lookups, used, theirs)
    if main is None:
        findings.append(
            unresolved(f"spec.canary.name: {target} is not usable: {theirs[0].message}")
        )
        return None
    return main.cluster


def _settings(
    backend: Backend,
    base: ClusterSettings,
    lookups: Lookups,
    findings: list[Finding],
    default_tls: BackendTLS | None = None,
    host: str = "",
) -> ClusterSettings | None:
    """``base`` with what the backend itself says laid over it; None when they do not fit."""
    spec = backend.spec
    settings = base
    if spec.protocol != "HTTP1":
        settings = replace(settings, protocol=spec.protocol)
    tls_spec = spec.tls or default_tls
    if tls_spec is not None:
        tls, problems = tls_settings(tls_spec, backend.metadata.namespace, lookups.secret, host)
        if problems:
            findings.extend(problems)
            return None
        settings = replace(settings, tls=tls)
    settings = _with_pool_settings(spec, settings)
    check = settings.active_check
    if check and check.type == "GRPC" and settings.protocol not in ("HTTP2", "GRPC"):
        message = "spec.healthChecks.active.type: a GRPC check needs protocol HTTP2 or GRPC"
        findings.append(invalid(message))
        return None
    return settings


def _with_pool_settings(spec: BackendSpec, settings: ClusterSettings) -> ClusterSettings:
    if spec.circuit_breaker is not None:
        settings = replace(settings, thresholds=thresholds_of(spec.circuit_breaker))
    if spec.load_balancing is not None:
        balancer = load_balancer(spec.load_balancing)
        weighted = settings.load_balancer.zones_weighted and balancer.zone_minimum is None
        settings = replace(settings, load_balancer=replace(balancer, zones_weighted=weighted))
    if (checks := spec.health_checks) is not None:
        settings = replace(
            settings,
            active_check=active_check(checks),
            outlier_detection=outlier_detection(checks),
            panic_threshold=checks.panic_threshold,
        )
    if spec.health_check_path is not None:
        settings = replace(settings, active_check=_check(settings, spec.health_check_path))
    if spec.connection is not None:
        settings = replace(settings, connections=connections(spec.connection))
    if spec.dns is not None:
        settings = replace(settings, resolution=resolution(spec.dns))
    return settings


def _check(settings: ClusterSettings, path: str) -> ActiveCheck:
    if settings.active_check is not None and settings.active_check.type == "HTTP":
        return replace(settings.active_check, path=path)
    return path_check(path)
