"""What one gateway serves: its tables, clusters and extra buckets, kept up to date by fragments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from fluxgate.ir import PlanBucket, RouteTable, Shared
from fluxgate.resources import ObjectRef
from fluxgate.translator.clusters import ClusterSpec, ClusterUses
from fluxgate.translator.findings import Finding
from fluxgate.translator.tables import Claim, Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """What one Route adds to one gateway."""

    gateway: str
    listeners: tuple[str, ...]
    claims: tuple[Claim, ...]
    buckets: tuple[PlanBucket, ...] = ()
    shared: tuple[Shared, ...] = ()
    clusters: tuple[ClusterSpec, ...] = ()
    """Those that policies call, whether or not another route holds the places of this one."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one Route adds to all gateways, what was found, and what was looked at."""

    parts: tuple[Part, ...] = ()
    findings: tuple[Finding, ...] = ()
    used: frozenset[ObjectRef] = frozenset()


def table_names(
    gateway: str, listeners: Iterable[str], selections: Iterable[tuple[str, ...]]
) -> dict[str, str]:
    """The route table of every listener; listeners with the same routes share one.

    ``selections`` are the sets of listeners that routes name. Listeners that stand in
    the same of them have the same routes. Those in none share the table named for the gateway,
    the others one named for their first listener.
    """
    listed, groups = list(listeners), list(selections)
    names: dict[tuple[bool, ...], str] = {}
    result = {}
    for listener in sorted(listed):
        group = tuple([listener in each for each in groups])
        own = f"{gateway}/{listener}" if any(group) else gateway
        result[listener] = names.setdefault(group, own)
    return result


@dataclass(slots=True)
class Serving:
    """One gateway's route tables, its clusters, and buckets besides its plans."""

    gateway: str
    listeners: tuple[str, ...]
    names: dict[str, str]
    """The table of every listener."""
    tables: dict[str, Table]
    clusters: ClusterUses
    _selections: dict[tuple[str, ...], int] = field(default_factory=dict)
    _buckets: Counter[PlanBucket] = field(default_factory=Counter)
    _shared: Counter[Shared] = field(default_factory=Counter)
    _sorted: tuple[Shared, ...] | None = ()

    @classmethod
    def of(
        cls,
        gateway: str,
        listeners: tuple[str, ...],
        parts: Collection[Part] = (),
        clusters: Iterable[ClusterSpec] = (),
    ) -> Serving:
        """A gateway with tables fit for ``parts``, which are not yet added; it calls ``clusters``."""
        selected = {each.listeners for each in parts if len(each.listeners) < len(listeners)}
        names, uses = table_names(gateway, listeners, sorted(selected)), ClusterUses()
        tables = {name: Table(name, uses) for name in names.values()}
        for spec in clusters:
            uses.add(spec)
        return cls(gateway, listeners, names, tables, uses)

    def fits(self) -> bool:
        """Whether the tables are still those that the selections of its routes call for."""
        wanted = table_names(self.gateway, self.listeners, sorted(self._selections))
        return self.names == wanted

    def select(self, part: Part, change: int) -> None:
        """Count a part that comes (1) or goes (-1) among those that name listeners."""
        if len(part.listeners) == len(self.listeners):
            return
        count = self._selections.get(part.listeners, 0) + change
        if count:
            self._selections[part.listeners] = count
        else:
            del self._selections[part.listeners]

    def add(self, part: Part) -> set[ObjectRef]:
        """Serve ``part``; returns the objects whose conflicts changed."""
        concerned: set[ObjectRef] = set()
        for table in self._tables_of(part):
            for claim in part.claims:
                concerned |= table.add(claim)
        for spec in part.clusters:
            self.clusters.add(spec)
        self._count(part, 1)
        return concerned

    def remove(self, part: Part) -> set[ObjectRef]:
        """Serve ``part`` no longer; returns the objects whose conflicts changed."""
        concerned: set[ObjectRef] = set()
        for table in self._tables_of(part):
            for claim in part.claims:
                concerned |= table.remove(claim)
        for spec in part.clusters:
            self.clusters.remove(spec)
        self._count(part, -1)
        return concerned

    def _count(self, part: Part, change: int) -> None:
        if part.buckets:
            _add(self._buckets, part.buckets, change)
        if part.shared:
            known = len(self._shared)
            _add(self._shared, part.shared, change)
            # counts that only grow or shrink leave the set as it was
            if len(self._shared) != known or change < 0:
                self._sorted = None

    def conflicts(self, part: Part) -> Iterable[tuple[str, Claim, Claim]]:
        """Every (table, claim, holder) where another claim holds the place."""
        for table in self._tables_of(part):
            for claim in part.claims:
                holder = table.holder(claim)
                if holder is not claim:
                    yield table.name, claim, holder

    def tables_of(self, part: Part) -> tuple[str, ...]:
        """The names of the tables that hold ``part``."""
        return tuple(dict.fromkeys([self.names[each] for each in part.listeners]))

    def _tables_of(self, part: Part) -> list[Table]:
        return [self.tables[name] for name in self.tables_of(part)]

    def buckets(self) -> tuple[PlanBucket, ...]:
        """The buckets of limits written outside the plans, in no order."""
        return tuple(self._buckets)

    def shared(self) -> tuple[Shared, ...]:
        """What policies have in common, by class and name; the same tuple when nothing changed."""
        if self._sorted is None:
            self._sorted = in_order(self._shared)
        return self._sorted

    def route_tables(self) -> tuple[RouteTable, ...]:
        """The tables, sorted by name."""
        return tuple(
            sorted((table.build() for table in self.tables.values()), key=lambda table: table.name)
        )


def in_order(shared: Iterable[Shared]) -> tuple[Shared, ...]:
    """Sorted by class and name."""
    return tuple(sorted(shared, key=lambda each: (type(each).__qualname__, each.name)))


def _add(counter: Counter[T], items: Iterable[T], change: int) -> None:
    """Change counts, never keeping a zero."""
    for item in items:
        counter[item] += change
        if not counter[item]:
            del counter[item]
