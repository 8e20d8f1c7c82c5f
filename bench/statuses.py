"""What statuses cost: ``python -m bench.statuses [routes ...]`` (1,000, 3,000 and 10,000 unless told).

Without a cluster: milliseconds in which the event loop runs nothing else, of a read of all statuses
(:class:`fluxgate_operator.status_book.StatusBook`) after nothing changed, after one route
changed, after one node got a step further, after a node came that serves nothing yet, and after
all nodes were lost (or came back). The largest of many; Python's garbage collector is on. What the API server adds is measured in
``bench/statuses_cluster.py``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from bench.configs import gateway_config, route, upstream
from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.status import ObjectStatus
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.status_book import StatusBook
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry

SIZES = (1_000, 3_000, 10_000)
ROUNDS = 20
NODES = 5


class World:
    """A control plane without sockets; nodes say what they are told to say."""

    def __init__(self, routes: int) -> None:
        log = structlog.get_logger()
        self.store, self.registry = ResourceStore(), NodeRegistry()
        self.reconciler = Reconciler(
            self.store, CachedPipeline(), SnapshotCache(), asyncio.Event().wait, log
        )
        self.tracker = PropagationTracker(self.registry, self.reconciler, log)
        self.book = StatusBook(self.reconciler, self.tracker)
        documents = [gateway_config(8080)]
        documents += [upstream(f"u{each}", 9000) for each in range(routes)]
        documents += [route(f"r{each}", f"/r{each}", f"u{each}") for each in range(routes)]
        for document in documents:
            self.store.upsert(parse_object(document))
        self.turn()
        self.nodes = [self.registry.connect("main", f"n{each}", "", {}) for each in range(NODES)]

    def turn(self) -> None:
        """Reconcile what was written."""
        if not self.reconciler.reconcile():
            raise RuntimeError(self.reconciler.failure)

    def edit(self, number: int) -> None:
        """Change one route and reconcile."""
        document = route("r0", f"/r0/{number}", "u0")
        self.store.upsert(parse_object(document))
        self.turn()

    def serve(self, count: int = NODES) -> None:
        """So many nodes acknowledge the newest snapshot."""
        turn = self.reconciler.current
        if turn is None:
            raise RuntimeError("nothing was built")
        for node in self.nodes[:count]:
            node.update({}, turn.versions["main"])

    def read(self) -> Mapping[ObjectRef, ObjectStatus]:
        """What a status writer reads."""
        return self.book.statuses({})


def worst(read: Callable[[], object], prepare: Callable[[int], object]) -> float:
    """The longest of many reads, each after ``prepare``; milliseconds."""
    found = []
    for number in range(ROUNDS):
        prepare(number)
        start = time.perf_counter()
        read()
        found.append(time.perf_counter() - start)
    return max(found) * 1000


@dataclass(frozen=True, slots=True)
class Reads:
    """The longest read of all statuses after each of these, milliseconds."""

    routes: int
    nothing: float
    one_route: float
    node_step: float
    node_comes: float
    all_nodes_go: float


def measure(routes: int) -> Reads:
    """With so many routes, each with an upstream of its own."""
    world = World(routes)
    world.serve()
    world.read()
    nothing = worst(world.read, lambda _: None)
    changed = worst(world.read, world.edit)
    world.serve()
    world.read()

    def step(number: int) -> None:
        world.edit(number)
        world.read()
        world.serve(1 + number % NODES)

    stepped = worst(world.read, step)
    world.serve()
    world.read()

    def come_and_go(number: int) -> None:
        if number % 2:
            world.nodes.pop().close()
        else:
            world.nodes.append(world.registry.connect("main", "new", "", {}))

    came = worst(world.read, come_and_go)
    world.nodes = world.nodes[:NODES]

    def all_restart(number: int) -> None:
        if number % 2:
            world.nodes = [
                world.registry.connect("main", f"n{each}", "", {}) for each in range(NODES)
            ]
            world.serve()
        else:
            for node in world.nodes:
                node.close()

    return Reads(routes, nothing, changed, stepped, came, worst(world.read, all_restart))


def run(sizes: tuple[int, ...]) -> list[Reads]:
    """Measure every size."""

    async def measured() -> list[Reads]:
        return [measure(each) for each in sizes]

    return asyncio.run(measured())


def main() -> None:
    """Print the table."""
    from bench import report_kubernetes  # noqa: PLC0415 - it imports this module

    sizes = tuple(map(int, sys.argv[1:])) or SIZES
    print(report_kubernetes.statuses(run(sizes)))


if __name__ == "__main__":
    main()
