"""Where a Route's requests go: its backends as weighted clusters, its mirror, its timeouts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

from fluxgate.api.v1alpha1 import Route, duration_ms
from fluxgate.api.v1alpha1.policy import Retry, Timeouts
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir import Forward, HashPolicy, MirrorIR, RetryPolicy, WeightedCluster
from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator.backends import may_use, service_problem
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec
from fluxgate.translator.destinations import (
    Destination,
    Share,
    service_pool,
    thresholds_of,
    url_cluster,
    url_pool,
)
from fluxgate.translator.findings import Finding, invalid, partly, unresolved
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.route_matches import build_path_rewrite
from fluxgate.translator.view import View

DEFAULT_TIMEOUT_MS = 30_000
REALTIME_IDLE_MS = 3_600_000
"""A realtime stream without a byte in either direction ends after an hour."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Resolved backends of a Route; ``destinations`` is empty when none can be used."""

    destinations: tuple[WeightedCluster, ...]
    clusters: tuple[ClusterSpec, ...]
    mirror: MirrorIR | None
    hash_policy: HashPolicy | None
    timeouts: tuple[Timeouts, ...]
    retry: Retry | None
    findings: tuple[Finding, ...]
    used: frozenset[ObjectRef]


def resolve_forwarding(ref: ObjectRef, route: Route, view: View, tenant: str | None) -> Forwarding:
    """Resolve every backend. Those that cannot be are left out, the others share the requests."""
    spec = route.spec
    used: set[ObjectRef] = set()
    findings: list[Finding] = []
    found: list[tuple[BackendRef, Destination]] = []
    for index, each in enumerate(spec.backends):
        where = f"spec.backends[{index}]"
        destination = _destination(where, each, ref, view, tenant, used, findings)
        if destination is not None:
            found.append((each, destination))
    shares = _shares(ref, route, found)
    if not spec.backends:
        findings.append(invalid("spec.backends: a route needs a backend; add one"))
    elif found and not shares:
        findings.append(
            invalid(
                "spec.backends: those that can be used have weight 0; give one of them a weight"
            )
        )
    elif found and len(found) < len(spec.backends):
        findings.append(partly("spec.backends: some are left out, the others take their share"))
    mirror_cluster = None
    if spec.mirror is not None:
        where = "spec.mirror.backend"
        target = _destination(where, spec.mirror.backend, ref, view, tenant, used, findings)
        mirror_cluster = target.shares[0].cluster if target else None
    clusters = {share.cluster: None for share in shares}
    if mirror_cluster is not None:
        clusters[mirror_cluster] = None
    return Forwarding(
        destinations=tuple(WeightedCluster(each.cluster.name, each.weight) for each in shares),
        clusters=tuple(clusters),
        mirror=(
            MirrorIR(mirror_cluster.name, spec.mirror.percent)
            if mirror_cluster and spec.mirror
            else None
        ),
        hash_policy=next((each.hash_policy for _, each in found if each.hash_policy), None),
        timeouts=tuple(each.timeouts for _, each in found if each.timeouts),
        retry=next((each.retry for _, each in found if each.retry), None),
        findings=tuple(findings),
        used=frozenset(used),
    )


def _destination(
    where: str,
    backend: BackendRef,
    owner: ObjectRef,
    view: View,
    tenant: str | None,
    used: set[ObjectRef],
    findings: list[Finding],
) -> Destination | None:
    if backend.url is not None:
        cluster = url_cluster(backend.url, url_pool(backend.url), owner)
        return Destination((Share(cluster, 1),))
    target = ObjectRef(backend.kind, owner.namespace, backend.name or "")
    used.add(target)
    if backend.kind == "Service":
        port = backend.port or 0
        service = view.service(target)
        problem = service_problem(where, service, target, port, view.lookups())
        if problem is not None:
            findings.append(problem)
            return None
        pool = service_pool(target.namespace, target.name, port)
        return Destination((Share(ClusterSpec.of(pool, ClusterSettings(), (owner,)), 1),))
    destination = view.destination(target)
    if destination is None:
        findings.append(unresolved(f"{where}: {view.missing(target)}"))
        return None
    if not may_use(tenant, destination.tenant):
        message = f"{where}: {target} belongs to another tenant"
        findings.append(unresolved(message, Reason.REF_NOT_PERMITTED))
        return None
    return destination


def _shares(
    ref: ObjectRef, route: Route, found: list[tuple[BackendRef, Destination]]
) -> tuple[Share, ...]:
    """Weights of routes times weights of canaries, by cluster, without a common divisor."""
    thresholds = thresholds_of(route.spec.circuit_breaker)
    if thresholds is None and len(found) == 1 and len(found[0][1].shares) == 1:
        only = found[0][1].shares[0]
        return (Share(only.cluster, 1),) if found[0][0].weight * only.weight else ()
    weights: dict[ClusterSpec, int] = {}
    for backend, destination in found:
        whole = sum(share.weight for share in destination.shares)
        for share in destination.shares:
            cluster = share.cluster
            if thresholds is not None:
                cluster = cluster.with_thresholds(thresholds, ref)
            weight = backend.weight * share.weight * (100 // whole)
            weights[cluster] = weights.get(cluster, 0) + weight
    positive = {cluster: weight for cluster, weight in weights.items() if weight}
    divisor = reduce(gcd, positive.values(), 0) or 1
    return tuple(Share(cluster, weight // divisor) for cluster, weight in positive.items())


def build_forward(route: Route, forwarding: Forwarding, scope: GatewayScope) -> Forward:
    """The action; the nearest of route, backend and gateway decides timeouts and retries."""
    spec = route.spec
    timeouts = [each for each in (spec.timeouts, *forwarding.timeouts, scope.timeouts) if each]
    request = next((each.request for each in timeouts if each.request is not None), None)
    idle = next((each.idle for each in timeouts if each.idle is not None), None)
    timeout_ms = DEFAULT_TIMEOUT_MS if request is None else duration_ms(request)
    idle_ms = None if idle is None else duration_ms(idle)
    if spec.realtime:
        own_idle = spec.timeouts.idle if spec.timeouts else None
        timeout_ms = 0
        idle_ms = REALTIME_IDLE_MS if own_idle is None else duration_ms(own_idle)
    retry = spec.retry or forwarding.retry or scope.retry
    rewrite = spec.rewrite
    path = rewrite.path if rewrite else None
    return Forward(
        destinations=forwarding.destinations,
        timeout_ms=timeout_ms,
        idle_timeout_ms=idle_ms,
        retry=_retry(retry) if retry and retry.attempts else None,
        mirror=forwarding.mirror,
        path_rewrite=build_path_rewrite(path) if path else None,
        host_rewrite=(rewrite.host or "") if rewrite else "",
        hash_policy=forwarding.hash_policy,
        websocket=spec.realtime,
    )


def _retry(retry: Retry) -> RetryPolicy:
    back_off = retry.back_off
    base = max(duration_ms(back_off.base), 1) if back_off else 25
    return RetryPolicy(
        attempts=retry.attempts,
        retry_on=retry.retry_on,
        status_codes=retry.status_codes,
        per_try_timeout_ms=duration_ms(retry.per_try_timeout) if retry.per_try_timeout else 0,
        back_off_base_ms=base,
        # Envoy refuses a maximum below the base
        back_off_max_ms=max(duration_ms(back_off.max), base) if back_off else 250,
    )
