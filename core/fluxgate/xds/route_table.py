"""A route table as one ``envoy.config.route.v3.RouteConfiguration``, spliced from ready bytes.

A virtual host whose routes fit one bucket is a list of routes. A larger one is a matcher
tree: a prefix map on ``:path``, each leaf a RouteList in the order of precedence, so that
the cost of a request does not grow with the table. See
docs/decisions/0003-matcher-tree.md for the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from envoy.config.route.v3 import route_pb2 as route_configuration_v3

from fluxgate.ir import RouteTable
from fluxgate.routing.buckets import BucketLimits
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.httpfilters.base import HTTPFilter
from fluxgate.xds.route_entries import RouteEntries
from fluxgate.xds.virtual_host import VirtualHostCache
from fluxgate.xds.wire import field_bytes, field_number, field_string

_NAME = field_number(route_configuration_v3.RouteConfiguration, "name")
_VIRTUAL_HOSTS = field_number(route_configuration_v3.RouteConfiguration, "virtual_hosts")


@dataclass(slots=True)
class _TableCache:
    """What is kept of one table between two builds."""

    entries: RouteEntries
    hosts: dict[str, VirtualHostCache] = field(default_factory=dict)
    resource: SnapshotResource | None = None


@dataclass(slots=True)
class RouteTableCache:
    """Bytes and layouts of earlier builds, by route table; makes them faster, never different.

    Routes are recognised by identity: a caller that hands in the same ``HTTPRoute`` objects
    for what did not change pays only for what did. Give it only to calls with the same
    prefixes, filters and limits, or it starts afresh.
    """

    _inputs: tuple[object, ...] = ()
    _tables: dict[str, _TableCache] = field(default_factory=dict)

    def retain(self, names: Sequence[str]) -> None:
        """Forget the tables that are not in ``names``."""
        for name in self._tables.keys() - set(names):
            del self._tables[name]

    def take(
        self,
        name: str,
        prefixes: tuple[str, ...],
        filters: tuple[HTTPFilter, ...],
        limits: BucketLimits,
    ) -> _TableCache:
        """Hand out the cache of one table; it is gone from here until it is put back."""
        inputs = (prefixes, filters, limits)
        if self._inputs != inputs:
            self._inputs = inputs
            self._tables.clear()
        return self._tables.pop(name, None) or _TableCache(RouteEntries(prefixes, filters))

    def put(self, name: str, table: _TableCache) -> None:
        """Keep the cache of one table for the next build."""
        self._tables[name] = table


def build_route_configuration(
    table: RouteTable,
    prefixes: tuple[str, ...],
    filters: Sequence[HTTPFilter],
    cache: RouteTableCache | None = None,
    limits: BucketLimits | None = None,
) -> SnapshotResource:
    """The RDS resource of ``table``.

    ``prefixes`` are those of API keys, ``filters`` patch every route. The resource refers to
    the clusters its routes send to, and its origins are the routes' objects, sorted. With
    ``cache`` the result is the same, sooner. Raises ``ValueError`` when a route cannot be
    rendered; the cache then forgets the table.
    """
    limits = limits or BucketLimits()
    cache = cache if cache is not None else RouteTableCache()
    state = cache.take(table.name, prefixes, tuple(filters), limits)
    parts = [field_string(_NAME, table.name)]
    before = dict(state.hosts)
    changed = before.keys() != {each.host for each in table.virtual_hosts}
    state.hosts = {}
    for virtual_host in table.virtual_hosts:
        host = before.pop(virtual_host.host, None) or VirtualHostCache(virtual_host.host)
        changed |= host.update(virtual_host.routes, state.entries, limits)
        state.hosts[virtual_host.host] = host
        parts.append(field_bytes(_VIRTUAL_HOSTS, host.rendered))
    for gone in before.values():
        gone.clear(state.entries)
    if changed or state.resource is None:
        state.resource = SnapshotResource.of(
            typeurl.ROUTE,
            table.name,
            b"".join(parts),
            references=state.entries.references(),
            origins=state.entries.origins(),
        )
    cache.put(table.name, state)
    return state.resource
