"""One ``envoy.config.route.v3.VirtualHost``, rendered again only where its routes changed."""

from __future__ import annotations

from bisect import bisect_left, insort_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from operator import is_not

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.type.matcher.v3 import http_inputs_pb2 as http_inputs_v3
from xds.core.v3 import extension_pb2 as extension_v3
from xds.type.matcher.v3 import matcher_pb2 as matcher_v3

from fluxgate.ir import HTTPRoute
from fluxgate.routing.buckets import BucketLimits, Entry, Node, anchor_of, lay_out
from fluxgate.xds.proto import any_of, payload_of
from fluxgate.xds.route_entries import RouteEntries
from fluxgate.xds.wire import any_bytes, field_bytes, field_number, field_string

_MatcherTree = matcher_v3.Matcher.MatcherTree
_NAME = field_number(route_v3.VirtualHost, "name")
_DOMAINS = field_number(route_v3.VirtualHost, "domains")
_ROUTES = field_number(route_v3.VirtualHost, "routes")
_ROUTES_OF_LIST = field_number(route_v3.RouteList, "routes")
_MATCHER = field_number(route_v3.VirtualHost, "matcher")
_TREE = field_number(matcher_v3.Matcher, "matcher_tree")
_ON_NO_MATCH = field_number(matcher_v3.Matcher, "on_no_match")
_ACTION = field_number(matcher_v3.Matcher.OnMatch, "action")
_PREFIX_MAP = field_number(_MatcherTree, "prefix_match_map")
_MAP = field_number(_MatcherTree.MatchMap, "map")
_MAP_KEY, _MAP_VALUE = 1, 2
_EXTENSION_NAME = field_number(extension_v3.TypedExtensionConfig, "name")
_EXTENSION_CONFIG = field_number(extension_v3.TypedExtensionConfig, "typed_config")
_ROUTE_LIST_URL = "type.googleapis.com/" + route_v3.RouteList.DESCRIPTOR.full_name

_ON_PATH = payload_of(
    _MatcherTree(
        input=extension_v3.TypedExtensionConfig(
            name="path",
            typed_config=any_of(http_inputs_v3.HttpRequestHeaderMatchInput(header_name=":path")),
        )
    )
)
_FEW = 64


@dataclass(frozen=True, slots=True)
class _Difference:
    """The parts of two sequences that are left without their common beginning and end."""

    old: slice
    new: slice


@dataclass(slots=True)
class VirtualHostCache:
    """The bytes of one virtual host, and what they were made from."""

    host: str
    rendered: bytes = b""
    _routes: tuple[HTTPRoute, ...] | None = None
    _positions: dict[int, int] = field(default_factory=dict)
    """Places in the order of precedence, by the identity of the route."""
    _entries: dict[int, Entry] = field(default_factory=dict)
    _sorted: list[Entry] = field(default_factory=list)
    _tree: Node | None = None

    def update(
        self, routes: tuple[HTTPRoute, ...], entries: RouteEntries, limits: BucketLimits
    ) -> bool:
        """Render ``routes``, in order of precedence and each once; whether anything may differ."""
        if routes is self._routes:
            return False
        before = self._routes or ()
        window = _difference(before, routes)
        added, removed = self._exchange(before[window.old], routes[window.new], entries)
        if self._routes is not None and not added and not removed and self._tree is not None:
            self._routes = routes
            return False
        self._place(before, routes, window)
        self._sort(added, removed)
        self._tree = lay_out(self._sorted, limits, self._tree)
        self._routes = routes
        self.rendered = _render(self.host, self._tree, self._positions)
        return True

    def clear(self, entries: RouteEntries) -> None:
        """Give back every entry."""
        for entry in self._entries.values():
            entries.release(entry)
        self._entries.clear()

    def _exchange(
        self, old: Iterable[HTTPRoute], new: Iterable[HTTPRoute], entries: RouteEntries
    ) -> tuple[list[Entry], list[Entry]]:
        """Acquire what came and release what went; forget the tree when the rest moved."""
        had = {id(route): route for route in old}
        wanted = {id(route): route for route in new}
        if [each for each in had if each in wanted] != [each for each in wanted if each in had]:
            self._tree = None
        added = [entries.acquire(wanted[each]) for each in wanted if each not in had]
        removed = [self._entries.pop(each) for each in had if each not in wanted]
        self._entries.update((id(entry.route), entry) for entry in added)
        for entry in removed:
            entries.release(entry)
        return added, removed

    def _place(
        self,
        before: tuple[HTTPRoute, ...],
        routes: tuple[HTTPRoute, ...],
        window: _Difference,
    ) -> None:
        """Renew the places: all of them when some moved, else those in the window."""
        if window.old != window.new:
            self._positions = dict(zip(map(id, routes), range(len(routes)), strict=True))
            return
        for route in before[window.old]:
            self._positions.pop(id(route), None)
        self._positions.update(zip(map(id, routes[window.new]), count(window.new.start)))

    def _sort(self, added: list[Entry], removed: list[Entry]) -> None:
        if len(added) + len(removed) > _FEW:
            self._sorted = sorted(self._entries.values(), key=anchor_of)
            return
        remaining = list(self._sorted)
        for entry in removed:
            index = bisect_left(remaining, entry.anchor, key=anchor_of)
            del remaining[remaining.index(entry, index)]
        for entry in added:
            insort_right(remaining, entry, key=anchor_of)
        self._sorted = remaining


def _difference(old: tuple[HTTPRoute, ...], new: tuple[HTTPRoute, ...]) -> _Difference:
    """Where two tuples hold different objects; at the speed of C, for tens of thousands."""
    shorter = min(len(old), len(new))
    start = _first(map(is_not, old, new), shorter)
    same = min(_first(map(is_not, reversed(old), reversed(new)), shorter), shorter - start)
    return _Difference(slice(start, len(old) - same), slice(start, len(new) - same))


def _first(differs: Iterable[bool], otherwise: int) -> int:
    listed = list(differs)
    return listed.index(True) if True in listed else otherwise


def _render(host: str, tree: Node, positions: dict[int, int]) -> bytes:
    name = field_string(_NAME, host) + field_string(_DOMAINS, host)
    buckets = [node for node in tree.walk() if node.key]
    if not buckets:
        return name + _routes(_ROUTES, tree.bucket or (), positions)
    for node in buckets:
        if not node.rendered:
            on_match = _on_match(node.bucket or (), positions)
            node.rendered = field_bytes(
                _MAP, field_string(_MAP_KEY, node.key) + field_bytes(_MAP_VALUE, on_match)
            )
    prefix_map = field_bytes(_PREFIX_MAP, b"".join(node.rendered for node in buckets))
    matcher = field_bytes(_TREE, _ON_PATH + prefix_map)
    if tree.bucket:
        matcher += field_bytes(_ON_NO_MATCH, _on_match(tree.bucket, positions))
    return name + field_bytes(_MATCHER, matcher)


def _routes(number: int, bucket: Iterable[Entry], positions: dict[int, int]) -> bytes:
    """The routes of a bucket in the order of precedence, each as field ``number``."""
    ordered = sorted(bucket, key=lambda entry: positions[id(entry.route)])
    return b"".join(field_bytes(number, route) for entry in ordered for route in entry.messages)


def _on_match(bucket: Iterable[Entry], positions: dict[int, int]) -> bytes:
    """``xds.type.matcher.v3.Matcher.OnMatch`` whose action is a RouteList."""
    config = any_bytes(_ROUTE_LIST_URL, _routes(_ROUTES_OF_LIST, bucket, positions))
    action = field_string(_EXTENSION_NAME, "routes") + field_bytes(_EXTENSION_CONFIG, config)
    return field_bytes(_ACTION, action)
