"""What writing statuses costs: ``python -m bench.statuses_cluster KUBECONFIG [objects]`` (10,000).

Against the API server of that kubeconfig, with our CRDs, in a namespace ``status-bench`` of its
own, which is left behind. Every object gets a new status at once; meanwhile, every half second,
one more object does. Shown: statuses a second, requests for each, how long those single ones took
from the change to the API server's answer to a reader, and the longest CPU time of the event loop
between two turns of a task that is always ready. What is there before is kept from Python's collector, as the controller does it.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

import structlog

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.collector import settle_collector
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import ConflictError
from fluxgate_operator.kube.types import NAMESPACES, OUR_TYPES
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.statuses import StatusSettings, StatusWriter

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
    """Create what is not there."""
    try:
        await client.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    except ConflictError:
        print("the namespace is there already", file=sys.stderr)
    there = {each["metadata"]["name"] for each in (await client.list(ROUTES, NAMESPACE)).items}
    missing = [f"r{number}" for number in range(count) if f"r{number}" not in there]

    async def work() -> None:
        while missing:
            name = missing.pop()
            spec = {
                "matches": [{"path": {"type": "Prefix", "value": f"/{name}"}}],
                "backends": [{"name": "b"}],
            }
            body = {
                "apiVersion": ROUTES.api_version,
                "kind": "Route",
                "metadata": {"name": name},
                "spec": spec,
            }
            await client.create(ROUTES, NAMESPACE, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(work())


async def measure(client: KubeClient, concurrency: int) -> str:
    """One flood; a row of the table."""
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
        lambda: dict(statuses),
        lambda: True,
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
    return (
        f"| {len(statuses):,} | {concurrency} | {written / seconds:.0f}/s "
        f"| {(written + writer.counters.conflicts) / written:.2f} "
        f"| {statistics.median(single) * 1000:.0f} / {max(single) * 1000:.0f} ms "
        f"| {max(stalls) * 1000:.1f} ms | {cpu / written * 1000:.2f} ms |"
    )


async def main() -> None:
    """Print the table."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    access = await load_access(Path(sys.argv[1]), None, {})
    async with KubeClient(access, connections=64) as client:
        await fill(client, count)
        print(
            "| objects | at a time | statuses | requests each | a single one, median / max |",
            end="",
        )
        print(" longest stall | CPU each, readers included |\n|---|---|---|---|---|---|---|")
        for concurrency in (8, 16, 32):
            print(await measure(client, concurrency), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
