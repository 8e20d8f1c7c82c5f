"""What writing statuses costs: ``python -m bench.statuses_cluster [objects]`` (10,000).

Against an API server of its own (etcd without fsync). Every object gets a new status at once; meanwhile, every half second,
one more object does. Shown: statuses a second, requests for each, how long those single ones took
from the change to the API server's answer to a reader, and the longest CPU time of the event loop
between two turns of a task that is always ready. What is there before is kept from Python's collector, as the controller does it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass

import structlog

from bench import configs
from bench.cluster import api_server
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.collector import settle_collector
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import NAMESPACES, OUR_TYPES
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.statuses import Outlook, StatusSettings, StatusWriter

NAMESPACE = "status-bench"
ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")


class Facts:
    """What one list showed."""

    def __init__(self) -> None:
        self.known: dict[ObjectRef, ObjectFacts] = {}

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        """Of one object."""
        return self.known.get(ref)

    def troubled(self) -> dict[ObjectRef, ObjectFacts]:
        """None."""
        return {}


def status(ref: ObjectRef, words: str) -> ObjectStatus:
    """Good news, with words that differ from the last run's."""
    accepted = Condition(ConditionType.ACCEPTED, status=True, reason=Reason.ACCEPTED, message=words)
    served = Condition(ConditionType.PROGRAMMED, status=True, reason=Reason.PROGRAMMED)
    return ObjectStatus(ref, 1, (accepted, served))


async def fill(client: KubeClient, count: int) -> None:
    """Create so many Routes, in a namespace of their own."""
    await client.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    missing = [f"r{number}" for number in range(count)]

    async def work() -> None:
        while missing:
            name = missing.pop()
            await client.create(ROUTES, NAMESPACE, configs.route(name, f"/{name}", "b"))

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(work())


@dataclass(frozen=True, slots=True)
class Flood:
    """All statuses written at once, ``concurrency`` at a time, and single ones meanwhile."""

    objects: int
    concurrency: int
    rate: float
    """Statuses a second."""
    requests: float
    """For each status."""
    single_ms: tuple[float, ...]
    stall_ms: float
    cpu_ms: float
    """For each status, the benchmark's readers included."""


async def measure(client: KubeClient, concurrency: int) -> Flood:
    """One flood."""
    facts = Facts()
    for each in (await client.list(ROUTES, NAMESPACE)).items:
        meta = each["metadata"]
        ref = ObjectRef("Route", NAMESPACE, meta["name"])
        facts.known[ref] = ObjectFacts(
            ref, meta["uid"], meta["resourceVersion"], 1, each.get("status") or {}
        )
    words = f"{concurrency} at {time.time()}"
    statuses = {ref: status(ref, words) for ref in facts.known}
    single, ours = [], list(statuses)[:200]
    writer = StatusWriter(
        client,
        facts,
        Outlook(lambda: dict(statuses), lambda: True),
        structlog.get_logger(),
        StatusSettings(concurrency=concurrency),
    )
    stalls: list[float] = []
    settle_collector()

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            stalls.append(time.thread_time() - began)

    began, cpu = time.perf_counter(), time.process_time()
    tasks = [asyncio.create_task(each) for each in (watch(), writer.run())]
    while writer.counters.written < len(statuses):
        await asyncio.sleep(0.5)
        if writer.waiting < 100:
            continue
        ref = ours.pop()
        changed = time.perf_counter()
        statuses[ref] = status(ref, f"{words}, again")
        writer.poke()
        while True:
            found = await client.get(ROUTES, NAMESPACE, ref.name)
            conditions = found.get("status", {}).get("conditions") or [{"message": ""}]
            if conditions[0]["message"].endswith("again"):
                break
        single.append(time.perf_counter() - changed)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    written = writer.counters.written
    return Flood(
        len(statuses),
        concurrency,
        written / seconds,
        (written + writer.counters.conflicts) / written,
        tuple(each * 1000 for each in single),
        max(stalls) * 1000,
        cpu / written * 1000,
    )


def run(objects: int, concurrencies: tuple[int, ...]) -> list[Flood]:
    """One flood after the other, on one API server."""

    async def measured() -> list[Flood]:
        async with api_server() as (plane, _):
            access = await load_access(plane.kubeconfig, None, {})
            async with KubeClient(access, connections=64) as client:
                await fill(client, objects)
                return [await measure(client, each) for each in concurrencies]

    return asyncio.run(measured())


def main() -> None:
    """Print the table."""
    from bench import report_kubernetes  # noqa: PLC0415 - it imports this module

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(report_kubernetes.floods(run(count, (8, 16, 32))))


if __name__ == "__main__":
    main()
