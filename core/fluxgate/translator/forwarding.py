"""Where a Route's requests go: its backends as weighted clusters, its mirror, its timeouts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import gcd

from fluxgate.api.v1alpha1 import Route, duration_ms
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Retry, Timeouts
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir import Forward, HashPolicy, MirrorIR, RetryPolicy, WeightedCluster
from fluxgate.resources import ObjectRef
from fluxgate.translator.backend_refs import resolve_backend_ref
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.destinations import Destination, Share, thresholds_of
from fluxgate.translator.findings import Finding, invalid, partly
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.plugins import Policies
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


def resolve_forwarding(
    ref: ObjectRef, route: Route, view: View, tenant: str | None, policies: Policies
) -> Forwarding:
    """Resolve every backend. Those that cannot be are left out, the others share the requests."""
    spec, lookups = route.spec, view.lookups()
    used: set[ObjectRef] = set()
    findings: list[Finding] = []
    found: list[tuple[BackendRef, Destination]] = []
    for index, each in enumerate(spec.backends):
        where = f"spec.backends[{index}]"
        destination = resolve_backend_ref(where, each, ref, lookups, tenant, used, findings)
        if destination is not None:
            found.append((each, destination))
    shares = _shares(ref, spec.circuit_breaker or policies.circuit_breaker, found)
    if not spec.backends and policies.action is None:
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
        target = resolve_backend_ref(
            where, spec.mirror.backend, ref, lookups, tenant, used, findings
        )
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


def _shares(
    ref: ObjectRef, breaker: CircuitBreaker | None, found: list[tuple[BackendRef, Destination]]
) -> tuple[Share, ...]:
    """Weights of routes times weights of canaries, by cluster, without a common divisor."""
    thresholds = thresholds_of(breaker)
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


def build_forward(
    route: Route, forwarding: Forwarding, scope: GatewayScope, policies: Policies
) -> Forward:
    """The action; the nearest of route, policy, backend and gateway decides timeouts and retries."""
    spec = route.spec
    wider = (policies.timeouts, *forwarding.timeouts, scope.timeouts)
    timeouts = [each for each in (spec.timeouts, *wider) if each]
    request = next((each.request for each in timeouts if each.request is not None), None)
    idle = next((each.idle for each in timeouts if each.idle is not None), None)
    timeout_ms = DEFAULT_TIMEOUT_MS if request is None else duration_ms(request)
    idle_ms = None if idle is None else duration_ms(idle)
    if spec.realtime:
        own_idle = spec.timeouts.idle if spec.timeouts else None
        timeout_ms = 0
        idle_ms = REALTIME_IDLE_MS if own_idle is None else duration_ms(own_idle)
    retry = spec.retry or policies.retry or forwarding.retry or scope.retry
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
