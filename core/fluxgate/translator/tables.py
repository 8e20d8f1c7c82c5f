"""The route table of one listener: claims, conflicts, and virtual hosts in order.

A *claim* is a host, a priority and a match. Of several routes with the same claim
the one with the lowest rank holds it; the others are not served there.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import itemgetter
from typing import Any

from fluxgate.ir import HTTPRoute, RouteTable, VirtualHost
from fluxgate.resources import ObjectRef
from fluxgate.routing.hosts import covers
from fluxgate.translator.clusters import ClusterSpec, ClusterUses
from fluxgate.translator.findings import Rank

_BULK = 32
_KEY = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Claim:
    """One route on one host. What users wrote outranks what translation made up."""

    host: str
    index: int
    synthetic: bool
    rank: Rank
    key: tuple[Any, ...]
    route: HTTPRoute
    clusters: tuple[ClusterSpec, ...] = ()

    @property
    def place(self) -> Hashable:
        """What only one route can hold."""
        return (self.host, self.route.priority, self.route.match)

    @property
    def order(self) -> tuple[Any, ...]:
        """The smallest holds the place."""
        return (self.synthetic, self.rank, self.index, self.route.name)


@dataclass(slots=True)
class _Own:
    """The routes declared for one host, in order, beside their sort keys, which are unique."""

    keys: list[tuple[Any, ...]] = field(default_factory=list)
    routes: list[HTTPRoute] = field(default_factory=list)

    def remove(self, claim: Claim) -> None:
        """Take out the route of a claim."""
        index = bisect_left(self.keys, claim.key)
        del self.keys[index], self.routes[index]

    def add(self, claims: Collection[Claim]) -> None:
        """Put in the routes of claims."""
        if len(claims) > _BULK:
            entries = list(zip(self.keys, self.routes, strict=True))
            entries += [(claim.key, claim.route) for claim in claims]
            self._sort(entries)
            return
        for claim in claims:
            index = bisect_left(self.keys, claim.key)
            self.keys.insert(index, claim.key)
            self.routes.insert(index, claim.route)

    def follow(self, other: _Own) -> _Own:
        """Both together, in order."""
        both = _Own(self.keys + other.keys, self.routes + other.routes)
        # keys begin with priority and host: mostly, one list simply follows the other
        if self.keys and other.keys and self.keys[-1] > other.keys[0]:
            both._sort(list(zip(both.keys, both.routes, strict=True)))
        return both

    def _sort(self, entries: list[tuple[tuple[Any, ...], HTTPRoute]]) -> None:
        entries.sort(key=_KEY)
        self.keys = [key for key, _ in entries]
        self.routes = [route for _, route in entries]


@dataclass(slots=True)
class Table:
    """Virtual hosts that are kept in order while routes come and go."""

    name: str
    uses: ClusterUses
    """Counts the clusters of what is served; a route that lost its place needs none."""
    _claims: dict[Hashable, Claim | list[Claim]] = field(default_factory=dict)
    _holders: dict[int, Claim] = field(default_factory=dict)
    """By the identity of a claim that lost its place: who holds it."""
    _own: dict[str, _Own] = field(default_factory=dict)
    _added: dict[str, dict[int, Claim]] = field(default_factory=dict)
    _removed: dict[str, dict[int, Claim]] = field(default_factory=dict)
    _hosts: dict[str, VirtualHost] = field(default_factory=dict)
    _result: RouteTable | None = None

    def add(self, claim: Claim) -> set[ObjectRef]:
        """Take a claim; returns the objects whose conflicts changed."""
        place = claim.place
        held = self._claims.get(place)
        if held is None:
            self._claims[place] = claim
            self._show(claim)
            return set()
        claims = held if isinstance(held, list) else [held]
        before = claims[0]
        insort(claims, claim, key=lambda each: each.order)
        self._claims[place] = claims
        return self._exchange(before, claims) or {claim.route.origin}

    def remove(self, claim: Claim) -> set[ObjectRef]:
        """Give a claim back; returns the objects whose conflicts changed."""
        place = claim.place
        held = self._claims[place]
        if not isinstance(held, list):
            del self._claims[place]
            self._hide(claim)
            return set()
        before = held[0]
        del held[next(index for index, each in enumerate(held) if each is claim)]
        self._holders.pop(id(claim), None)
        if len(held) == 1:
            self._claims[place] = held[0]
        return self._exchange(before, held)

    def holder(self, claim: Claim) -> Claim:
        """Who holds the place that ``claim`` wants."""
        return self._holders.get(id(claim), claim)

    def build(self) -> RouteTable:
        """The table now; the same object when nothing changed."""
        stale = self._settle()
        if stale or self._result is None:
            for host in self._concerned(stale):
                if host in self._own:
                    self._hosts[host] = VirtualHost(host, self._routes(host))
                else:
                    self._hosts.pop(host, None)
            ordered = tuple(self._hosts[host] for host in sorted(self._hosts))
            self._result = RouteTable(self.name, ordered)
        return self._result

    def _exchange(self, before: Claim, claims: list[Claim]) -> set[ObjectRef]:
        """Serve the new holder, if it is new; then every claimant's status names another."""
        holder = claims[0]
        self._holders.pop(id(holder), None)
        self._holders.update((id(each), holder) for each in claims[1:])
        if holder is before:
            return set()
        self._hide(before)
        self._show(holder)
        return {before.route.origin, *(each.route.origin for each in claims)}

    def _show(self, claim: Claim) -> None:
        if self._removed.get(claim.host, {}).pop(id(claim), None) is None:
            self._added.setdefault(claim.host, {})[id(claim)] = claim
        for spec in claim.clusters:
            self.uses.add(spec)

    def _hide(self, claim: Claim) -> None:
        if self._added.get(claim.host, {}).pop(id(claim), None) is None:
            self._removed.setdefault(claim.host, {})[id(claim)] = claim
        for spec in claim.clusters:
            self.uses.remove(spec)

    def _settle(self) -> set[str]:
        """Bring the sorted lists up to date; returns the hosts whose own list changed."""
        stale = {host for host, claims in self._added.items() if claims}
        stale |= {host for host, claims in self._removed.items() if claims}
        for host, hidden in self._removed.items():
            for claim in hidden.values():
                self._own[host].remove(claim)
        for host, shown in self._added.items():
            if shown:
                self._own.setdefault(host, _Own()).add(shown.values())
        for host in stale:
            if not self._own[host].keys:
                del self._own[host]
        self._added.clear()
        self._removed.clear()
        return stale

    def _concerned(self, stale: set[str]) -> set[str]:
        """``stale`` and every host that a stale pattern covers."""
        patterns = [host for host in stale if host.startswith("*")]
        if not patterns:
            return stale
        hosts = self._own.keys() | stale
        return stale | {host for host in hosts if any(covers(each, host) for each in patterns)}

    def _routes(self, host: str) -> tuple[HTTPRoute, ...]:
        """All routes for ``host``, each once: where the most specific of its hosts puts it."""
        first, *more = [self._own[each] for each in _patterns(host) if each in self._own]
        if not more:
            return tuple(first.routes)
        merged = reduce(_Own.follow, more, first)
        return tuple({id(route): route for route in merged.routes}.values())


def _patterns(host: str) -> Iterator[str]:
    """``host`` and every pattern that covers it, the most specific first."""
    yield host
    if host == "*":
        return
    rest = host.removeprefix("*.")
    while "." in rest:
        rest = rest.partition(".")[2]
        yield f"*.{rest}"
    yield "*"
