"""What an Upstream's status says of its targets: those that some Envoy sends nothing.

Nothing is written of targets that are well, and of one Upstream at most every quarter of a minute:
targets that flap all day must not cost the API server more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fluxgate.resources import ObjectRef
from fluxgate_operator.election.clock import Clock, uptime
from fluxgate_operator.health.book import HealthBook
from fluxgate_operator.health.summary import upstream_of

REST_SECONDS = 15.0
"""Between two changes of what is written of one Upstream."""
MOST_TARGETS = 100
"""How many targets are listed."""

FIELD = "unhealthyTargets"
Said = tuple[Mapping[str, Any], ...]


class HealthStatuses:
    """Run :meth:`run`; ``look`` is told of Upstreams whose :meth:`extras` became others."""

    def __init__(
        self,
        book: HealthBook,
        look: Callable[[Iterable[ObjectRef]], None],
        rest: float = REST_SECONDS,
        clock: Clock = uptime,
    ) -> None:
        self._book = book
        self._look = look
        self._rest = rest
        self._clock = clock
        self._said: dict[ObjectRef, Said] = {}
        self._rests_until: dict[ObjectRef, float] = {}

    def extras(self, ref: ObjectRef) -> Mapping[str, Any]:
        """Fields of the status of an Upstream besides its conditions; None takes one away."""
        said = self._said.get(ref)
        return {FIELD: list(said) if said else None}

    async def run(self) -> None:
        """Follow the book until cancelled."""
        while True:
            changed = self._book.changed.subscribe()
            due = self._settle(found_now(self._book))
            try:
                async with asyncio.timeout(due):
                    await changed
            except TimeoutError:
                changed.cancel()

    def _settle(self, found: Mapping[ObjectRef, Said]) -> float | None:
        """Take over what may change now; returns in how many seconds more of it may."""
        now = self._clock()
        news, waiting = [], []
        for ref in found.keys() | self._said.keys():
            if found.get(ref, ()) == self._said.get(ref, ()):
                continue
            until = self._rests_until.get(ref, 0.0)
            if until > now:
                waiting.append(until)
                continue
            self._rests_until[ref] = now + self._rest
            news.append(ref)
            if ref in found:
                self._said[ref] = found[ref]
            else:
                del self._said[ref]
        self._rests_until = {ref: at for ref, at in self._rests_until.items() if at > now}
        if news:
            self._look(news)
        return min(waiting) - now if waiting else None


def found_now(book: HealthBook) -> dict[ObjectRef, Said]:
    """Every Upstream with targets that some node sends nothing, and what there is to say."""
    ailing: dict[ObjectRef, dict[str, dict[object, set[str]]]] = {}
    for node, clusters in book.everywhere().items():
        for cluster, places in clusters.items():
            ref = upstream_of(cluster.rpartition("/")[0])
            if ref is None:
                continue
            targets = ailing.setdefault(ref, {})
            for place, ailments in places.items():
                targets.setdefault(place, {}).setdefault(node, set()).update(ailments)
    return {
        ref: tuple(
            {
                "address": address,
                "nodes": len(nodes),
                "reasons": sorted(set().union(*nodes.values())),
            }
            for address, nodes in sorted(targets.items())[:MOST_TARGETS]
        )
        for ref, targets in ailing.items()
    }
