"""From a gateway's IR to the snapshot its Envoys get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Generic, TypeVar

from envoy.config.listener.v3 import listener_pb2 as listener_v3

from fluxgate.ir import ApiKeyTable, Gateway, ListenerIR
from fluxgate.snapshot import ResourceSet, Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.httpfilters import ordered_filters
from fluxgate.xds.listener import build_listener, build_quic_listener, extension_names
from fluxgate.xds.pools import PoolCache, build_pools
from fluxgate.xds.probe import build_probe
from fluxgate.xds.proto import payload_of
from fluxgate.xds.proxyless import build_proxyless
from fluxgate.xds.route_table import RouteTableCache, build_route_configuration
from fluxgate.xds.secret import build_secret

K = TypeVar("K")
V = TypeVar("V")
Reference = tuple[str, str]


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

    def end_round(self) -> None:
        """Forget what was not asked for since the last call."""
        self._last, self._round = self._round, {}


@dataclass(slots=True)
class BuildCache:
    """What the next :func:`build_snapshot` of the same gateway can take over from the last one."""

    pools: PoolCache = field(default_factory=PoolCache)
    extensions: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    listeners: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    proxyless: Memo[Gateway, tuple[SnapshotResource, ...]] = field(default_factory=Memo)
    sets: dict[str, ResourceSet] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    """The last one, which was consistent."""
    routes: RouteTableCache = field(default_factory=RouteTableCache)

    def end_round(self, sets: dict[str, ResourceSet]) -> None:
        """Keep what this round made or asked for, forget the rest."""
        self.sets = sets
        for memo in (self.extensions, self.listeners, self.proxyless):
            memo.end_round()


def build_snapshot(gateway: Gateway, cache: BuildCache | None = None) -> Snapshot:
    """Everything the Envoys of ``gateway`` shall serve, with the probe as its last resource.

    ``cache`` only saves time: the result is the same with and without. Raises
    :class:`~fluxgate.errors.InconsistentSnapshotError` when a resource refers to one that
    is not there, which is a bug of the translator and never a user's mistake.
    """
    cache = BuildCache() if cache is None else cache
    pools = build_pools(gateway, cache.pools)
    direct = _proxyless(gateway, cache)
    own = _of_filters(gateway, cache)
    parts: tuple[tuple[str, Iterable[SnapshotResource]], ...] = (
        (typeurl.SECRET, [*_secrets(gateway), *own[typeurl.SECRET]]),
        (typeurl.EXTENSION, own[typeurl.EXTENSION]),
        (typeurl.LISTENER, [*_listeners(gateway, cache), *direct[typeurl.LISTENER]]),
        (typeurl.ROUTE, [*_routes(gateway, cache), *direct[typeurl.ROUTE]]),
        *((url, own[url]) for url in (typeurl.RATE_LIMIT,) if url in own),
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


def _secrets(gateway: Gateway) -> Iterator[SnapshotResource]:
    for certificate in gateway.certificates:
        yield SnapshotResource.of(
            typeurl.SECRET,
            certificate.name,
            payload_of(build_secret(certificate)),
            origins=(certificate.origin,),
        )


def _of_filters(gateway: Gateway, cache: BuildCache) -> dict[str, list[SnapshotResource]]:
    """What the HTTP filters bring beside listeners and routes: configurations and secrets."""

    def make(source: Gateway) -> tuple[SnapshotResource, ...]:
        return tuple(
            resource
            for http_filter in ordered_filters()
            for resource in http_filter.resources(source)
        )

    source = replace(gateway, listeners=(), certificates=(), route_tables=(), clusters=())
    made: dict[str, list[SnapshotResource]] = {typeurl.SECRET: [], typeurl.EXTENSION: []}
    for resource in cache.extensions.get("extensions", source, make):
        made.setdefault(resource.type_url, []).append(resource)
    return made


def _listeners(gateway: Gateway, cache: BuildCache) -> Iterator[SnapshotResource]:
    """Made from a gateway without routes, keys and plans, so that these cannot change them."""
    source = replace(
        gateway,
        route_tables=(),
        clusters=(),
        certificates=(),
        api_keys=ApiKeyTable(prefixes=()),
        plans=(),
        shared=(),
    )
    yield from cache.listeners.get("listeners", source, _make_listeners)


def _make_listeners(gateway: Gateway) -> tuple[SnapshotResource, ...]:
    def bound_to(listener: ListenerIR) -> tuple[str, int]:
        return listener.address, listener.port

    # of one address in the order given, so that one more at the end keeps the name of the first
    ordered = sorted(gateway.listeners, key=bound_to)
    groups = [tuple(group) for _, group in groupby(ordered, key=bound_to)]
    made = [_listener_resource(gateway, group, build_listener(gateway, group)) for group in groups]
    made += [
        _listener_resource(gateway, group, build_quic_listener(gateway, group))
        for group in groups
        if group[0].http3
    ]
    return tuple(made)


def _listener_resource(
    gateway: Gateway, group: tuple[ListenerIR, ...], message: listener_v3.Listener
) -> SnapshotResource:
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
    for told in (gateway.tracing, gateway.log_export):
        if told is not None:
            yield typeurl.CLUSTER, told.collector.cluster
    for listener in group:
        if not listener.closed:
            yield typeurl.ROUTE, listener.route_table
        if listener.tls:
            by_name = (each.certificate for each in listener.tls.by_name)
            for name in (*listener.tls.certificates, listener.tls.client_ca, *by_name):
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
