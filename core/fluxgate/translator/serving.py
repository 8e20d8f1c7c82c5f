"""What one gateway serves: its tables, clusters and extra buckets, kept up to date by fragments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fluxgate.ir import PlanBucket, RouteTable
from fluxgate.resources import ObjectRef
from fluxgate.translator.clusters import ClusterUses
from fluxgate.translator.findings import Finding
from fluxgate.translator.gateways import route_table_name
from fluxgate.translator.tables import Claim, Table


@dataclass(frozen=True, slots=True)
class Part:
    """What one Route adds to one gateway."""

    gateway: str
    listeners: tuple[str, ...]
    claims: tuple[Claim, ...]
    buckets: tuple[PlanBucket, ...] = ()


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one Route adds to all gateways, what was found, and what was looked at."""

    parts: tuple[Part, ...] = ()
    findings: tuple[Finding, ...] = ()
    used: frozenset[ObjectRef] = frozenset()


@dataclass(slots=True)
class Serving:
    """One gateway's tables by listener, its clusters, and buckets besides its plans."""

    tables: dict[str, Table]
    clusters: ClusterUses
    _buckets: dict[PlanBucket, int] = field(default_factory=dict)

    @classmethod
    def of(cls, gateway: str, listeners: Iterable[str]) -> Serving:
        """A gateway that serves nothing yet."""
        uses = ClusterUses()
        tables = {name: Table(route_table_name(gateway, name), uses) for name in listeners}
        return cls(tables, uses)

    def add(self, part: Part) -> set[ObjectRef]:
        """Serve ``part``; returns the objects whose conflicts changed."""
        concerned: set[ObjectRef] = set()
        for listener in part.listeners:
            table = self.tables[listener]
            for claim in part.claims:
                concerned |= table.add(claim)
        for bucket in part.buckets:
            self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        return concerned

    def remove(self, part: Part) -> set[ObjectRef]:
        """Serve ``part`` no longer; returns the objects whose conflicts changed."""
        concerned: set[ObjectRef] = set()
        for listener in part.listeners:
            table = self.tables[listener]
            for claim in part.claims:
                concerned |= table.remove(claim)
        for bucket in part.buckets:
            self._buckets[bucket] -= 1
            if not self._buckets[bucket]:
                del self._buckets[bucket]
        return concerned

    def conflicts(self, part: Part) -> Iterable[tuple[str, Claim, Claim]]:
        """Every (listener, claim, holder) where another claim holds the place."""
        for listener in part.listeners:
            table = self.tables[listener]
            for claim in part.claims:
                holder = table.holder(claim)
                if holder is not claim:
                    yield listener, claim, holder

    def buckets(self) -> tuple[PlanBucket, ...]:
        """The buckets of limits written outside the plans, in no order."""
        return tuple(self._buckets)

    def route_tables(self) -> tuple[RouteTable, ...]:
        """One table a listener, sorted by name."""
        return tuple(
            sorted((table.build() for table in self.tables.values()), key=lambda table: table.name)
        )
