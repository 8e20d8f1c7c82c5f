"""How a route's requests are shared among clusters, and who stays with which of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

from fluxgate.api.v1alpha1 import Route, duration_ms
from fluxgate.api.v1alpha1.balancing import Sticky
from fluxgate.api.v1alpha1.policy import CircuitBreaker
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir import HashPolicy, Override, StickyCookie, WeightedCluster
from fluxgate.resources import ObjectRef
from fluxgate.translator.balancing import choice_by_hash
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.connections import thresholds_of
from fluxgate.translator.destinations import Destination, Share
from fluxgate.translator.findings import Finding, partly
from fluxgate.translator.route_matches import cookie_value

Found = Sequence[tuple[BackendRef, Destination]]
"""A route's backends that can be used, and what each is."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Where requests go, as parts of a :class:`~fluxgate.ir.Forward`; and all clusters of it."""

    destinations: tuple[WeightedCluster, ...] = ()
    overrides: tuple[Override, ...] = ()
    hash_policy: HashPolicy | None = None
    choose_by_hash: bool = False
    sticky_cookie: StickyCookie | None = None
    clusters: tuple[ClusterSpec, ...] = ()
    findings: tuple[Finding, ...] = ()


def share_out(ref: ObjectRef, route: Route, breaker: CircuitBreaker | None, found: Found) -> Shares:
    """Share the requests of ``route`` among ``found``; ``breaker`` is its own, if it has one."""
    shares = _shares(ref, breaker, found)
    hashed = next((each.hash_policy for _, each in found if each.hash_policy), None)
    if not shares:
        return Shares(hash_policy=hashed)
    detours = [
        (detour.headers, _behind(breaker, detour.cluster, ref))
        for backend, destination in found
        if backend.weight
        for detour in destination.detours
    ]
    clusters = dict.fromkeys((*(each.cluster for each in shares), *(each for _, each in detours)))
    overrides = [Override(headers, cluster.name) for headers, cluster in detours]
    sticky = None
    if len(shares) > 1:
        sticky = route.spec.sticky or next((each.sticky for _, each in found if each.sticky), None)
    destinations = _marked(shares) if sticky else _plain(shares)
    cookie = _cookie(sticky)
    if cookie is not None:
        overrides += [
            Override((cookie_value(cookie.name, each.mark),), each.cluster) for each in destinations
        ]
    chosen = choice_by_hash(sticky)
    return Shares(
        destinations=destinations,
        overrides=tuple(overrides),
        hash_policy=chosen or hashed,
        choose_by_hash=chosen is not None,
        sticky_cookie=cookie,
        clusters=tuple(clusters),
        findings=_conflict(chosen, hashed),
    )


def _behind(breaker: CircuitBreaker | None, cluster: ClusterSpec, ref: ObjectRef) -> ClusterSpec:
    thresholds = thresholds_of(breaker)
    return cluster if thresholds is None else cluster.with_thresholds(thresholds, ref)


def _shares(ref: ObjectRef, breaker: CircuitBreaker | None, found: Found) -> tuple[Share, ...]:
    """Weights of routes times weights of canaries, by cluster, without a common divisor."""
    if breaker is None and len(found) == 1 and len(found[0][1].shares) == 1:
        only = found[0][1].shares[0]
        return (Share(only.cluster, 1),) if found[0][0].weight * only.weight else ()
    weights: dict[ClusterSpec, int] = {}
    for backend, destination in found:
        whole = sum(share.weight for share in destination.shares)
        for share in destination.shares:
            cluster = _behind(breaker, share.cluster, ref)
            weight = backend.weight * share.weight * (100 // whole)
            weights[cluster] = weights.get(cluster, 0) + weight
    positive = {cluster: weight for cluster, weight in weights.items() if weight}
    divisor = reduce(gcd, positive.values(), 0) or 1
    return tuple(Share(cluster, weight // divisor) for cluster, weight in positive.items())


def _plain(shares: Sequence[Share]) -> tuple[WeightedCluster, ...]:
    return tuple(WeightedCluster(each.cluster.name, each.weight) for each in shares)


def _marked(shares: Sequence[Share]) -> tuple[WeightedCluster, ...]:
    """Marks are made of the pool's name: new settings of a pool move nobody."""
    seen: dict[str, int] = {}
    marked = []
    for each in shares:
        pool = each.cluster.pool
        seen[pool] = seen.get(pool, 0) + 1
        mark = hashlib.sha256(f"{pool} {seen[pool]}".encode()).hexdigest()[:12]
        marked.append(WeightedCluster(each.cluster.name, each.weight, mark))
    return tuple(marked)


def _cookie(sticky: Sticky | None) -> StickyCookie | None:
    if sticky is None or sticky.type != "Cookie":
        return None
    ttl = duration_ms(sticky.cookie_ttl) if sticky.cookie_ttl else 0
    return StickyCookie(sticky.name or "", -(-ttl // 1000))


def _conflict(chosen: HashPolicy | None, hashed: HashPolicy | None) -> tuple[Finding, ...]:
    if chosen is None or hashed is None or chosen == hashed:
        return ()
    message = (
        "sticky: the Upstream's loadBalancing.hashOn has no effect beside it; let both be "
        "computed from the same, or use a Cookie"
    )
    return (partly(message),)
