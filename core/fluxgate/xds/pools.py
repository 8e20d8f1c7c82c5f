"""Clusters and endpoints: what CDS and EDS serve, kept up to date by what changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fluxgate.difference import fresh
from fluxgate.ir import ActiveCheck, Cluster, Gateway
from fluxgate.snapshot import ResourceSet, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.cluster import build_cluster
from fluxgate.xds.endpoint import build_load_assignment
from fluxgate.xds.health import first_checks_within_ms
from fluxgate.xds.proto import payload_of


@dataclass(slots=True)
class PoolCache:
    """The clusters of the last round, and the resources made of them.

    ``settings`` is what all of them are made with besides themselves: the CA bundle, and whether
    gRPC clients use them, for whom zones carry weights.
    """

    settings: tuple[str, bool] = ("", False)
    clusters: tuple[Cluster, ...] = ()
    sources: dict[str, Cluster] = field(default_factory=dict)
    users: dict[str, dict[str, Cluster]] = field(default_factory=dict)
    """The clusters that share the endpoints of one upstream, by the name of the upstream."""
    checked: int = 0
    """How many targets an Envoy checks, over all clusters."""
    cluster_set: ResourceSet = field(default_factory=lambda: ResourceSet.of(()))
    endpoint_set: ResourceSet = field(default_factory=lambda: ResourceSet.of(()))


def build_pools(gateway: Gateway, cache: PoolCache) -> dict[str, ResourceSet]:
    """The clusters and endpoints of ``gateway``; ``cache`` only saves time.

    A round with the same clusters gives the same sets, as objects. After an error the cache is
    of no use any more. Raises ``ValueError`` when clusters share an upstream and not its endpoints,
    which is a bug of the translator.
    """
    settings = (gateway.ca_bundle, gateway.proxyless)
    if settings != cache.settings:
        _start_afresh(cache, settings)
    if gateway.clusters is not cache.clusters:
        _update(gateway.clusters, cache)
    return {typeurl.CLUSTER: cache.cluster_set, typeurl.ENDPOINT: cache.endpoint_set}


def _start_afresh(cache: PoolCache, settings: tuple[str, bool]) -> None:
    cache.settings, cache.clusters = settings, ()
    cache.sources, cache.users, cache.checked = {}, {}, 0
    cache.cluster_set = cache.endpoint_set = ResourceSet.of(())


def _update(clusters: tuple[Cluster, ...], cache: PoolCache) -> None:
    added = {cluster.name: cluster for cluster in fresh(clusters, cache.clusters)}
    gone = {cluster.name: cluster for cluster in fresh(cache.clusters, clusters)}
    cache.clusters = clusters
    for name, cluster in gone.items():
        del cache.sources[name]
        _leave(cluster, cache)
    for name, cluster in added.items():
        cache.sources[name] = cluster
        if not cluster.dns:
            cache.users.setdefault(cluster.eds_name, {})[name] = cluster
    before = first_checks_within_ms(cache.checked)
    cache.checked += _checked(added.values()) - _checked(gone.values())
    to_make = {name: each for name, each in added.items() if gone.get(name) != each}
    if first_checks_within_ms(cache.checked) != before:
        to_make |= {each.name: each for each in clusters if each.active_check}
    made = [_cluster(each, cache) for each in to_make.values()]
    cache.cluster_set = cache.cluster_set.changed(made, gone.keys() - added.keys())
    upstreams = {each.eds_name for each in (*added.values(), *gone.values()) if not each.dns}
    _update_endpoints(upstreams, cache)


def _checked(clusters: Iterable[Cluster]) -> int:
    """How many targets of ``clusters`` are checked; a target in two clusters is checked twice."""
    return sum(len(each.endpoints) for each in clusters if each.active_check)


def _leave(cluster: Cluster, cache: PoolCache) -> None:
    if cluster.dns:
        return
    users = cache.users[cluster.eds_name]
    del users[cluster.name]
    if not users:
        del cache.users[cluster.eds_name]


def _update_endpoints(upstreams: Iterable[str], cache: PoolCache) -> None:
    """One resource an upstream: clusters of one upstream share its endpoints."""
    made, gone = [], []
    for name in upstreams:
        users = cache.users.get(name)
        if users is None:
            gone.append(name)
            continue
        made.append(_endpoints(name, users, cache))
    cache.endpoint_set = cache.endpoint_set.changed(made, gone)


def _endpoints(name: str, users: dict[str, Cluster], cache: PoolCache) -> SnapshotResource:
    first = users[min(users)]
    for other in users.values():
        if other.endpoints != first.endpoints:
            raise ValueError(
                f"clusters {first.name!r} and {other.name!r} share {name!r} but not its endpoints"
            )
    _, weighted = cache.settings
    assignment = build_load_assignment(
        name, first.endpoints, weighted=weighted, check=_check_of(users)
    )
    return SnapshotResource.of(
        typeurl.ENDPOINT, name, payload_of(assignment), origins=first.origins
    )


def _check_of(users: dict[str, Cluster]) -> ActiveCheck | None:
    """What endpoints have to say about checks: clusters that share them ask at the same port."""
    checks = [users[each].active_check for each in sorted(users)]
    return max(filter(None, checks), key=lambda check: check.type != "TCP", default=None)


def _cluster(cluster: Cluster, cache: PoolCache) -> SnapshotResource:
    references: list[tuple[str, str]] = []
    if not cluster.dns:
        references.append((typeurl.ENDPOINT, cluster.eds_name))
    if cluster.tls:
        secrets = (cluster.tls.ca_secret, cluster.tls.client_secret)
        references += [(typeurl.SECRET, secret) for secret in secrets if secret]
    ca_bundle, _ = cache.settings
    first = first_checks_within_ms(cache.checked)
    message = build_cluster(cluster, ca_bundle=ca_bundle, first_checks_within_ms=first)
    return SnapshotResource.of(
        typeurl.CLUSTER,
        cluster.name,
        payload_of(message),
        references=references,
        origins=cluster.origins,
    )
