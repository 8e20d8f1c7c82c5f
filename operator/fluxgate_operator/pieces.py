"""The parts of a gateway that Envoy can be asked about one by one.

A route or a cluster is valid or not by itself, so the one that Envoy refuses is found by
dry runs over halves, each of which carries nothing but its half: no other route, no
listener, no key. Pure; docs/decisions/0008 has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate.ir import ApiKeyTable, Cluster, Gateway, HTTPRoute, RouteTable
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.httpfilters import ordered_filters
from fluxgate.xds.route_table import build_route_configuration
from fluxgate.xds.static import static_bootstrap

_POOLS = (typeurl.CLUSTER, typeurl.ENDPOINT, typeurl.SECRET)


@dataclass(frozen=True, slots=True)
class Piece:
    """One route or cluster, and the objects it names as its origins.

    Of a route: the Route first, then the Plugins in force on it.
    """

    part: HTTPRoute | Cluster
    origins: tuple[ObjectRef, ...]


def pieces_of(gateway: Gateway, type_url: str) -> list[Piece]:
    """What resources of this type are made from, each once; empty for types that have no pieces."""
    if type_url == typeurl.ROUTE:
        routes = {
            id(route): route
            for table in gateway.route_tables
            for host in table.virtual_hosts
            for route in host.routes
        }
        return [Piece(route, route.made_from) for route in routes.values()]
    if type_url in (typeurl.CLUSTER, typeurl.ENDPOINT):
        return [Piece(cluster, cluster.origins) for cluster in gateway.clusters]
    return []


def bootstrap_of(gateway: Gateway, pieces: Sequence[Piece]) -> bootstrap_v3.Bootstrap:
    """A bootstrap that holds these pieces of ``gateway``, in their places, and nothing else."""
    routes = {id(piece.part) for piece in pieces if isinstance(piece.part, HTTPRoute)}
    clusters = tuple(piece.part for piece in pieces if isinstance(piece.part, Cluster))
    if routes:
        return static_bootstrap(Snapshot.of(tables_of(gateway, routes)))
    return static_bootstrap(_pools(gateway, clusters))


def tables_of(gateway: Gateway, routes: set[int]) -> list[SnapshotResource]:
    """The route tables of ``gateway`` with these routes (their ``id``) and no other."""
    filters, prefixes = ordered_filters(), gateway.api_keys.prefixes
    return [
        build_route_configuration(narrowed, prefixes, filters)
        for table in gateway.route_tables
        if (narrowed := _narrow(table, routes)).virtual_hosts
    ]


def _narrow(table: RouteTable, routes: set[int]) -> RouteTable:
    hosts = (
        replace(host, routes=kept)
        for host in table.virtual_hosts
        if (kept := tuple(route for route in host.routes if id(route) in routes))
    )
    return replace(table, virtual_hosts=tuple(hosts))


def _pools(gateway: Gateway, clusters: tuple[Cluster, ...]) -> Snapshot:
    narrowed = replace(
        gateway,
        listeners=(),
        route_tables=(),
        clusters=clusters,
        api_keys=ApiKeyTable(gateway.api_keys.prefixes),
        plans=(),
    )
    built = build_snapshot(narrowed)
    return Snapshot.of(resource for url in _POOLS for resource in built.of_type(url).values())
