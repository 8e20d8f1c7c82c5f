"""What one validation costs: ``python -m bench.admission [routes ...]`` (100, 3,000 and 10,000).

The webhook's answer to one AdmissionReview, without the API server and without TLS: the first
one, which has nothing to build on; then routes that are new and fit, that contend with another,
that refer to nothing, and updates whose spec is the same; then the first after another object of
the world has changed. Milliseconds, median and largest of many; Python's garbage collector is on.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import structlog

from bench.configs import gateway_config, route, upstream
from bench.harness import BenchError
from fluxgate.api.parse import parse_object
from fluxgate.resources import ResourceStore
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings
from fluxgate_operator.webhooks import Webhooks

SIZES = (100, 3_000, 10_000)
ROUNDS = 30

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds of one kind of question at one size."""

    routes: int
    question: str
    median: float
    largest: float


class World:
    """A webhook beside a store; no sockets."""

    def __init__(self, routes: int) -> None:
        self.store = ResourceStore()
        documents = [gateway_config(8080)]
        documents += [upstream(f"u{each}", 9000) for each in range(routes)]
        documents += [route(f"r{each}", f"/r{each}", f"u{each}") for each in range(routes)]
        for document in documents:
            self.store.upsert(parse_object(document))
        self._frozen = self.store.freeze()
        nobody = cast("Certificates", None)  # nothing is served, so nothing is shown
        sidecar = cast("SidecarSettings", None)
        self.webhooks = Webhooks(
            ControllerSettings("default", "bench"),
            nobody,
            lambda: self._frozen,
            lambda: sidecar,
            structlog.get_logger(),
        )

    def change(self, number: int) -> None:
        """Another object of the world is edited."""
        self.store.upsert(parse_object(route("r0", f"/r0/{number}", "u0")))
        self._frozen = self.store.freeze()

    async def ask(self, obj: Document, old: Document | None = None) -> Mapping[str, Any]:
        """One review; the answer's ``response``."""
        request = {
            "uid": "u",
            "operation": "CREATE" if old is None else "UPDATE",
            "namespace": "default",
            "object": obj,
            "oldObject": old,
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
        answer = await self.webhooks.answer({**review, "request": request}, webhook="validate")
        response: Mapping[str, Any] = answer["response"]
        return response


async def _timed(
    world: World, make: Callable[[int], Document], *, allowed: bool, warned: bool = False
) -> tuple[float, float]:
    found = []
    for number in range(ROUNDS):
        document = make(number)
        start = time.perf_counter()
        answer = await world.ask(document)
        found.append((time.perf_counter() - start) * 1000)
        if answer["allowed"] is not allowed or bool(answer.get("warnings")) is not warned:
            raise BenchError(f"not the answer that was to be measured: {answer}")
    return statistics.median(found), max(found)


async def measure(routes: int) -> list[Row]:
    """All kinds of questions at one size."""
    world = World(routes)
    start = time.perf_counter()
    await world.ask(route("new", "/new", "u0"))
    first = (time.perf_counter() - start) * 1000
    rows = [Row(routes, "the first of all", first, first)]

    def contends(number: int) -> Document:
        return route(f"zz-{number}", f"/r{number + 1}", "u0")

    def lost(number: int) -> Document:
        return route(f"lost-{number}", f"/lost/{number}", "nobody")

    def fits(number: int) -> Document:
        return route(f"new-{number}", f"/new/{number}", "u0")

    def after_a_change(number: int) -> Document:
        world.change(number)
        return fits(number)

    rows.append(Row(routes, "a route that fits", *await _timed(world, fits, allowed=True)))
    rows.append(Row(routes, "one that contends", *await _timed(world, contends, allowed=False)))
    rows.append(
        Row(routes, "one to nothing", *await _timed(world, lost, allowed=True, warned=True))
    )
    rows.append(
        Row(routes, "after another change", *await _timed(world, after_a_change, allowed=True))
    )
    same = []
    for number in range(ROUNDS):
        document = route(f"r{number + 1}", f"/r{number + 1}", f"u{number + 1}")
        start = time.perf_counter()
        await world.ask(document, document)
        same.append((time.perf_counter() - start) * 1000)
    rows.append(Row(routes, "an equal spec", statistics.median(same), max(same)))
    return rows


async def main() -> None:
    """Print a table."""
    print("| routes | question | median ms | largest ms |\n|---|---|---|---|")
    for size in [int(each) for each in sys.argv[1:]] or SIZES:
        for row in await measure(size):
            print(f"| {row.routes:,} | {row.question} | {row.median:.1f} | {row.largest:.1f} |")


if __name__ == "__main__":
    asyncio.run(main())
