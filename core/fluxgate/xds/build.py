"""From a gateway's IR to the snapshot its Envoys get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Generic, TypeVar

from envoy.config.listener.v3 import listener_pb2 as listener_v3

from fluxgate.ir import ApiKeyTable, Cluster, EndpointIR, Gateway, ListenerIR
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import ResourceSet, Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.cluster import build_cluster
from fluxgate.xds.endpoint import build_load_assignment
from fluxgate.xds.httpfilters import ordered_filters
from fluxgate.xds.listener import build_listener, extension_names
from fluxgate.xds.probe import build_probe
from fluxgate.xds.proto import payload_of
from fluxgate.xds.proxyless import build_proxyless
from fluxgate.xds.route_table import RouteTableCache, build_route_configuration
from fluxgate.xds.secret import build_secret

K = TypeVar("K")
V = TypeVar("V")
Reference = tuple[str, str]
_Pool = tuple[tuple[EndpointIR, ...], tuple[ObjectRef, ...], bool]
"""The endpoints of one upstream, the objects they come from, whether zones carry weights."""
_Pools = tuple[str, tuple[Cluster, ...], bool]
"""The CA bundle, the clusters and whether gRPC clients use them: all that CDS and EDS are made of."""


@dataclass(slots=True)
class Memo(Generic[K, V]):
    """The last value made under each name, and what it was made from.

    A value is made again only when its source is neither the same object nor equal.
    Names that a round did not ask for are forgotten at its end.
    """

    _last: dict[str, tuple[K, V]] = field(default_factory=dict)
    _round: dict[str, tuple[K, V]] = field(default_factory=dict)

    def get(self, name: str, source: K, make: Callable[[K], V]) -> V:
        """The value made from ``source``, from memory when it may be."""
        known = self._last.get(name)
        if known is None or not (known[0] is source or known[0] == source):
            known = (source, make(source))
        self._round[name] = known
        return known[1]

    def all(self, sources: Iterable[tuple[str, K]], make: Callable[[str, K], V]) -> list[V]:
        """The values of all these names in one whole round; written for tens of thousands."""
        last, now = self._last, self._round
        values = []
        for name, source in sources:
            known = last.get(name)
            if known is None or not (known[0] is source or known[0] == source):
                known = (source, make(name, source))
            now[name] = known
            values.append(known[1])
        self.end_round()
        return values

    def end_round(self) -> None:
        """Forget what was not asked for since the last call."""
        self._last, self._round = self._round, {}


@dataclass(slots=True)
class BuildCache:
    """What the next :func:`build_snapshot` of the same gateway can take over from the last one."""

    pools: Memo[_Pools, dict[str, ResourceSet]] = field(default_factory=Memo)
    clusters: Memo[Cluster, SnapshotResource] = field(default_factory=Memo)
    endpoints: Memo[_Pool, SnapshotResource] = field(default_factory=Memo)
    extensions: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    listeners: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    proxyless: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    ca_bundle: str = ""
    """What ``clusters`` was made with besides the clusters themselves."""
    sets: dict[str, ResourceSet] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    """The last one, which was consistent."""
    routes: RouteTableCache = field(default_factory=RouteTableCache)

    def end_round(self, sets: dict[str, ResourceSet]) -> None:
        """Keep what this round made or asked for, forget the rest."""
        self.sets = sets
        for memo in (self.pools, self.extensions, self.listeners, self.proxyless):
            memo.end_round()


def build_snapshot(gateway: Gateway, cache: BuildCache | None = None) -> Snapshot:
    """Everything the Envoys of ``gateway`` shall serve, with the probe as its last resource.

    ``cache`` only saves time: the result is the same with and without. Raises
    :class:`~fluxgate.errors.InconsistentSnapshotError` when a resource refers to one that
    is not there, which is a bug of the translator and never a user's mistake.
    """
    cache = BuildCache() if cache is None else cache
    pools = cache.pools.get(
        "pools", (gateway.ca_bundle, gateway.clusters, gateway.proxyless), _pools(cache)
    )
    direct = _proxyless(gateway, cache)
    parts: tuple[tuple[str, Iterable[SnapshotResource]], ...] = (
        (typeurl.SECRET, _secrets(gateway)),
        (typeurl.EXTENSION, _extensions(gateway, cache)),
        (typeurl.LISTENER, [*_listeners(gateway, cache), *direct[typeurl.LISTENER]]),
        (typeurl.ROUTE, [*_routes(gateway, cache), *direct[typeurl.ROUTE]]),
    )
    sets = pools | {url: ResourceSet.of(made, cache.sets.get(url)) for url, made in parts}
    cache.end_round(sets)
    without_probe = Snapshot.of_sets(sets)
    probe = build_probe(without_probe.version)
    routes = (*sets[typeurl.ROUTE].resources.values(), probe)
    snapshot = Snapshot.of_sets({**sets, typeurl.ROUTE: ResourceSet.of(routes)})
    snapshot.require_consistent(cache.snapshot)
    cache.snapshot = snapshot
    return snapshot


def _pools(cache: BuildCache) -> Callable[[_Pools], dict[str, ResourceSet]]:
    def make(source: _Pools) -> dict[str, ResourceSet]:
        ca_bundle, clusters, proxyless = source
        if ca_bundle != cache.ca_bundle:
            cache.ca_bundle, cache.clusters = ca_bundle, Memo()
        made = {
            typeurl.CLUSTER: cache.clusters.all(
                ((cluster.name, cluster) for cluster in clusters), _cluster_maker(ca_bundle)
            ),
            typeurl.ENDPOINT: _endpoints(clusters, cache, weighted=proxyless),
        }
        return {url: ResourceSet.of(each, cache.sets.get(url)) for url, each in made.items()}

    return make


def _cluster_maker(ca_bundle: str) -> Callable[[str, Cluster], SnapshotResource]:
    def make(name: str, cluster: Cluster) -> SnapshotResource:
        references: list[Reference] = []
        if not cluster.dns:
            references.append((typeurl.ENDPOINT, cluster.eds_name))
        if cluster.tls:
            secrets = (cluster.tls.ca_secret, cluster.tls.client_secret)
            references += [(typeurl.SECRET, secret) for secret in secrets if secret]
        return SnapshotResource.of(
            typeurl.CLUSTER,
            name,
            payload_of(build_cluster(cluster, ca_bundle=ca_bundle)),
            references=references,
            origins=cluster.origins,
        )

    return make


def _endpoints(
    clusters: tuple[Cluster, ...], cache: BuildCache, *, weighted: bool
) -> list[SnapshotResource]:
    """One resource an upstream: clusters of one upstream share its endpoints."""
    by_name: dict[str, Cluster] = {}
    for cluster in clusters:
        if cluster.dns:
            continue
        other = by_name.setdefault(cluster.eds_name, cluster)
        if other is not cluster and other.endpoints != cluster.endpoints:
            raise ValueError(
                f"clusters {other.name!r} and {cluster.name!r} share {cluster.eds_name!r} "
                "but not its endpoints"
            )

    def make(name: str, source: _Pool) -> SnapshotResource:
        endpoints, origins, _ = source
        assignment = build_load_assignment(name, endpoints, weighted=weighted)
        return SnapshotResource.of(typeurl.ENDPOINT, name, payload_of(assignment), origins=origins)

    sources = ((name, (each.endpoints, each.origins, weighted)) for name, each in by_name.items())
    return cache.endpoints.all(sources, make)


def _secrets(gateway: Gateway) -> Iterator[SnapshotResource]:
    for certificate in gateway.certificates:
        yield SnapshotResource.of(
            typeurl.SECRET,
            certificate.name,
            payload_of(build_secret(certificate)),
            origins=(certificate.origin,),
        )


def _extensions(gateway: Gateway, cache: BuildCache) -> Iterator[SnapshotResource]:
    def make(source: Gateway) -> tuple[SnapshotResource, ...]:
        return tuple(
            resource
            for http_filter in ordered_filters()
            for resource in http_filter.resources(source)
        )

    source = replace(gateway, listeners=(), certificates=(), route_tables=(), clusters=())
    yield from cache.extensions.get("extensions", source, make)


def _listeners(gateway: Gateway, cache: BuildCache) -> Iterator[SnapshotResource]:
    """Made from a gateway without routes, keys and plans, so that these cannot change them."""
    source = replace(
        gateway,
        route_tables=(),
        clusters=(),
        certificates=(),
        api_keys=ApiKeyTable(prefixes=()),
        plans=(),
    )
    yield from cache.listeners.get("listeners", source, _make_listeners)


def _make_listeners(gateway: Gateway) -> tuple[SnapshotResource, ...]:
    def bound_to(listener: ListenerIR) -> tuple[str, int]:
        return listener.address, listener.port

    ordered = sorted(gateway.listeners, key=lambda each: (*bound_to(each), each.name))
    return tuple(
        _listener_resource(gateway, tuple(group)) for _, group in groupby(ordered, key=bound_to)
    )


def _listener_resource(gateway: Gateway, group: tuple[ListenerIR, ...]) -> SnapshotResource:
    message: listener_v3.Listener = build_listener(gateway, group)
    return SnapshotResource.of(
        typeurl.LISTENER,
        message.name,
        payload_of(message),
        references=_listener_references(gateway, group),
        origins=(gateway.origin,),
    )


def _listener_references(gateway: Gateway, group: Iterable[ListenerIR]) -> Iterator[Reference]:
    for name in extension_names(gateway):
        yield typeurl.EXTENSION, name
    for listener in group:
        yield typeurl.ROUTE, listener.route_table
        if listener.tls:
            for name in (*listener.tls.certificates, listener.tls.client_ca):
                if name:
                    yield typeurl.SECRET, name


def _proxyless(gateway: Gateway, cache: BuildCache) -> dict[str, list[SnapshotResource]]:
    """What gRPC clients without a proxy get; nothing is made unless the gateway asks for it."""
    made: dict[str, list[SnapshotResource]] = {typeurl.LISTENER: [], typeurl.ROUTE: []}
    if gateway.proxyless:
        for resource in cache.proxyless.get("proxyless", gateway, build_proxyless):
            made[resource.type_url].append(resource)
    return made


def _routes(gateway: Gateway, cache: BuildCache) -> Iterator[SnapshotResource]:
    filters, prefixes = ordered_filters(), gateway.api_keys.prefixes
    cache.routes.retain([table.name for table in gateway.route_tables])
    for table in gateway.route_tables:
        yield build_route_configuration(table, prefixes, filters, cache.routes)
