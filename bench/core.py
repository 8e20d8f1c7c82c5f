"""What the core costs: ``python -m bench.core [routes ...]`` (1,000, 3,000 and 10,000 unless told).

CPU time of this process, without sockets and files, with Python's garbage collector on: the
first ``translate`` and ``build_snapshot`` of so many Routes on one host, and then 60 edits of one
Route each. Routes send to one Upstream, or each to one of its own (``own``).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from bench.configs import gateway_config, route, upstream
from fluxgate.api.parse import parse_object
from fluxgate.resources import ResourceStore
from fluxgate.translator import TranslateCache, translate
from fluxgate.xds.build import BuildCache, build_snapshot

SIZES = (1_000, 3_000, 10_000)
EDITS = 60
SETTLING = 10
"""Edits right after the first build, shown by themselves."""
T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and the milliseconds of CPU it took."""
    start = time.process_time()
    result = work()
    return result, (time.process_time() - start) * 1000


class World:
    """A store with its caches, as the reconciler keeps them."""

    def __init__(self, routes: int, *, own_upstreams: bool) -> None:
        self.own = own_upstreams
        self.store = ResourceStore()
        self.translations = TranslateCache()
        self.builds = BuildCache()
        targets = range(routes) if own_upstreams else (0,)
        documents = [gateway_config(8080), *(upstream(f"u{each}", 9000) for each in targets)]
        documents += [self.document(number) for number in range(routes)]
        for document in documents:
            self.store.upsert(parse_object(document))

    def document(self, number: int, **spec: object) -> dict[str, object]:
        """The Route of that number."""
        target = f"u{number if self.own else 0}"
        retry = {"attempts": 2, "retryOn": ["connect-failure"]}
        return route(f"r{number}", f"/api/v1/svc{number}", target, retry=retry, **spec)

    def turn(self) -> tuple[float, float]:
        """Milliseconds of one translation and one build."""
        frozen = self.store.freeze()
        translation, first = timed(lambda: translate(frozen, cache=self.translations))
        gateway = translation.gateways["main"]
        _, second = timed(lambda: build_snapshot(gateway, self.builds))
        return first, second

    def edit(self, number: int) -> tuple[float, float]:
        """The same after a change of one Route."""
        changed = self.document(number, timeouts={"request": "7s"})
        self.store.upsert(parse_object(changed))
        return self.turn()


def row(name: str, samples: list[float]) -> str:
    mean, worst = statistics.fmean(samples), max(samples)
    return f"| {name} | {mean:,.1f} | {worst:,.1f} |"


def measure(routes: int, *, own_upstreams: bool) -> None:
    world = World(routes, own_upstreams=own_upstreams)
    first = world.turn()
    edits = [world.edit(number * (routes // EDITS)) for number in range(EDITS)]
    label = f"{routes:,}, {'an Upstream each' if own_upstreams else 'one Upstream'}"
    for index, what in enumerate(("translate", "build_snapshot")):
        print(row(f"{label}: first {what}", [first[index]]))
        print(row(f"{label}: {what} after an edit", [each[index] for each in edits[SETTLING:]]))
        print(row(f"… first {SETTLING} edits", [each[index] for each in edits[:SETTLING]]))


def main() -> None:
    sizes = [int(each) for each in sys.argv[1:]] or list(SIZES)
    print("| what | mean ms | max ms |\n|---|---|---|")
    for routes in sizes:
        for own_upstreams in (False, True):
            measure(routes, own_upstreams=own_upstreams)


if __name__ == "__main__":
    main()
