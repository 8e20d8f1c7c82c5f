"""Buckets of routes under a tree of path prefixes.

A request is answered from the one bucket with the longest key its path begins with, and
from no other. So each bucket holds every route that could match below its key: those
anchored at or under it, unless a longer key takes them, and copies of those anchored above
it. The tree is split only where that pays: a bucket with at most
``bucket_size`` routes stays whole, and copies are bounded by ``copies_per_route`` times the
routes under the same node, whatever the table looks like.

The layout depends on the set of routes alone, never on how the set came about, and the
parts of an earlier layout that still hold are used again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from operator import attrgetter

from fluxgate.ir import HTTPRoute, PathKind
from fluxgate.routing.path import literal_prefix, may_match_below

anchor_of = attrgetter("anchor")


@dataclass(slots=True, eq=False)
class Entry:
    """A route, the literal beginning of its paths, and its Envoy routes once serialised."""

    route: HTTPRoute
    anchor: str
    messages: tuple[bytes, ...] = ()
    uses: int = 0

    @classmethod
    def of(cls, route: HTTPRoute) -> Entry:
        """The entry of ``route`` with its anchor."""
        return cls(route, literal_prefix(route.match.path))


@dataclass(frozen=True, slots=True)
class BucketLimits:
    """How large a bucket may be before it is split, and how many copies that may cost."""

    bucket_size: int = 32
    copies_per_route: int = 2


@dataclass(slots=True, eq=False)
class Node:
    """All routes anchored under ``key``, in one bucket or in several.

    ``entries`` are sorted by anchor, ``inherited`` are those from above that may match below
    ``key``. ``bucket`` is what the key itself holds (unsorted), None when no bucket is
    needed there; ``children`` are the nodes below, ``explored`` what was tried.
    ``copies`` counts the inherited entries of all buckets below ``key``.
    ``rendered`` is for the caller to keep the bucket's bytes in.
    """

    key: str
    entries: Sequence[Entry]
    inherited: tuple[Entry, ...]
    bucket: tuple[Entry, ...] | None
    children: tuple[Node, ...] = ()
    explored: tuple[Node, ...] = ()
    copies: int = 0
    rendered: bytes = field(default=b"", repr=False)

    def walk(self) -> Iterator[Node]:
        """The nodes that have a bucket, by ascending key."""
        pending = [self]
        while pending:
            node = pending.pop()
            if node.bucket is not None:
                yield node
            pending.extend(reversed(node.children))

    def holds(self, entries: Sequence[Entry], inherited: tuple[Entry, ...]) -> bool:
        """Whether the node was laid out for exactly these entries."""
        return self.inherited == inherited and self.entries == entries


def lay_out(entries: list[Entry], limits: BucketLimits, previous: Node | None = None) -> Node:
    """The tree for ``entries``, which are sorted by anchor; ``previous`` saves work only."""
    return _node("", entries, (), limits, previous)


def _node(
    key: str,
    entries: list[Entry],
    inherited: tuple[Entry, ...],
    limits: BucketLimits,
    previous: Node | None,
) -> Node:
    if previous is not None and previous.holds(entries, inherited):
        return previous
    budget = len(entries) * limits.copies_per_route
    if len(entries) <= limits.bucket_size or _handed_anyway(inherited) > budget:
        return _leaf(key, entries, inherited)
    stay, groups = _split(key, entries, limits.bucket_size)
    if not groups:
        return _leaf(key, entries, inherited)
    passed_on = (*inherited, *(each for each in stay if each.anchor == key))
    known = {child.key: child for child in previous.explored} if previous else {}
    explored = []
    for group in groups:
        below = _common_prefix(group[0].anchor, group[-1].anchor)
        handed = tuple(
            each for each in passed_on if may_match_below(each.route.match.path, each.anchor, below)
        )
        explored.append(_node(below, group, handed, limits, known.get(below)))
    children = _affordable(tuple(explored), budget, previous)
    if children is None:
        leaf = _leaf(key, entries, inherited)
        leaf.explored = tuple(explored)
        return leaf
    bucket = (*inherited, *stay) if stay or key == "" else None
    copies = sum(map(_cost, children))
    return Node(key, entries, inherited, bucket, children, tuple(explored), copies)


def _leaf(key: str, entries: list[Entry], inherited: tuple[Entry, ...]) -> Node:
    return Node(key, entries, inherited, (*inherited, *entries))


def _handed_anyway(inherited: tuple[Entry, ...]) -> int:
    """How many of ``inherited`` every child would get, wherever the split: no need to try then."""
    return sum(each.route.match.path.kind is PathKind.REGEX for each in inherited)


def _cost(node: Node) -> int:
    return node.copies + (len(node.inherited) if node.bucket is not None else 0)


def _affordable(
    explored: tuple[Node, ...], budget: int, previous: Node | None
) -> tuple[Node, ...] | None:
    """``explored``, or the same nodes with one bucket each, or None: whatever fits the budget."""
    if sum(map(_cost, explored)) <= budget:
        return explored
    if sum(len(node.inherited) for node in explored) > budget:
        return None
    known = {child.key: child for child in previous.children} if previous else {}
    return tuple(_whole(node, known.get(node.key)) for node in explored)


def _whole(node: Node, previous: Node | None) -> Node:
    """``node`` with all its routes in one bucket; ``previous`` when that is the same."""
    if not node.children:
        return node
    if previous and not previous.children and previous.holds(node.entries, node.inherited):
        return previous
    return _leaf(node.key, list(node.entries), node.inherited)


def _split(
    key: str, entries: list[Entry], bucket_size: int
) -> tuple[list[Entry], list[list[Entry]]]:
    """What stays in the bucket of ``key``, and the groups that go below it, by next character.

    The smallest groups stay as long as there is room: a bucket of a few routes costs Envoy
    more than a few more routes in a bucket.
    """
    length = len(key)
    start = bisect_left(entries, length + 1, key=lambda each: min(len(each.anchor), length + 1))
    stay = entries[:start]
    groups: list[list[Entry]] = []
    while start < len(entries):
        following = key + chr(ord(entries[start].anchor[length]) + 1)
        end = bisect_left(entries, following, lo=start, key=anchor_of)
        groups.append(entries[start:end])
        start = end
    room = bucket_size - len(stay)
    below = []
    for group in sorted(groups, key=len):
        if len(group) <= room:
            room -= len(group)
            stay.extend(group)
        else:
            room = 0
            below.append(group)
    below.sort(key=lambda group: group[0].anchor)
    return stay, below


def _common_prefix(first: str, second: str) -> str:
    pairs = enumerate(zip_longest(first, second))
    return next((first[:index] for index, (one, two) in pairs if one != two), first)
