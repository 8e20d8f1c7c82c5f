"""(e) How fast is a change on Kubernetes, and what does the controller cost?

A real etcd (without fsync) and kube-apiserver, ``fluxgate controller`` as its own process, and one
Envoy with one worker, all on this machine. Every Route has its own path and its own Upstream. The
client that creates them is ours (aiohttp, connections kept, as client-go does), one POST after the
other: the Upstream, then the Route. The clock starts before the first POST and stops when a client
of Envoy gets its first 200 on the new path. The same is measured with ``kubectl apply`` of both.

``python -m bench.kubernetes 100 3000`` measures these sizes and prints the tables.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path

from bench import configs, endpoints
from bench.answers import Answers
from bench.cluster import (
    NAMESPACE,
    TYPES,
    Cluster,
    cluster,
    documents,
    family_cpu_seconds,
    family_rss,
    name_of,
    path_of,
    running,
    versions,
)
from bench.harness import BenchError, free_port, static_envoy
from bench.propagation import Propagation

SIZES = (100, 3_000, 10_000)
GOAL_CHANGE_MS = (3_000, 60.0)
"""On average at so many routes, the API server's share included."""
GOAL_START_S = (10_000, 5.0)
GOAL_ENDPOINTS_MS = 100.0
RATE = 20
_OK = (200, None)
_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Load:
    """What the controller and its children take: CPU in per cent of one core, memory in MiB."""

    cpu: float
    rss: float
    requests: Counter[str]
    """Of the whole time, by client, verb and resource."""
    changes: int = 0


@dataclass(slots=True)
class Kubernetes:
    """Everything measured at one size. Milliseconds, but ``start``, which is in seconds."""

    routes: int
    load_average: float
    """Of one minute, before the controller was started."""
    versions: str = ""
    start: float = 0.0
    start_cpu: float = 0.0
    """What the controller took of CPU in that time, seconds."""
    changes: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)
    """The share of ``changes`` in which the API server answered the two creations."""
    statuses: list[float] = field(default_factory=list)
    """From the first creation until the Route says that it is programmed."""
    kubectl: list[float] = field(default_factory=list)
    """As ``changes``, by ``kubectl apply``."""
    kubectl_alone: list[float] = field(default_factory=list)
    """How long kubectl itself ran, of ``kubectl``."""
    endpoints: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    """For all of ``changes``."""
    idle: Load | None = None
    busy: Load | None = None

    def of(self, samples: list[float]) -> Propagation:
        """Mean and quantiles of some samples."""
        return Propagation(self.routes, "one each", tuple(samples))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured at each size."""

    samples: int = 50
    kubectl: int = 10
    idle_seconds: float = 30.0
    busy_seconds: float = 20.0


def run(sizes: tuple[int, ...], plan: Plan | None = None) -> list[Kubernetes]:
    """Measure every size, smallest first: one API server that is filled further and further."""
    return asyncio.run(_run(sorted(sizes), plan or Plan()))


async def _run(sizes: list[int], plan: Plan) -> list[Kubernetes]:
    up, port = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch,
        static_envoy(configs.answering_envoy(up), Path(scratch), up),
    ):
        async with cluster(up, port) as made:
            return [await _size(made, size, port, plan) for size in sizes]


async def _size(made: Cluster, routes: int, port: int, plan: Plan) -> Kubernetes:
    await made.grow(routes)
    found = Kubernetes(routes, os.getloadavg()[0], versions(made.plane))
    with contextlib.closing(Answers(port)) as answers:
        began = time.perf_counter()
        with running(made) as (controller, _):
            served = await answers.until(path_of(name_of(routes - 1)), _OK, 120)
            found.start = served - began
            found.start_cpu = family_cpu_seconds(controller.pid)
            _all_served(answers, routes)
            await asyncio.to_thread(controller.wait_ready)
            await _quiet(controller.pid)
            await _create_some(found, made, answers, plan.samples)
            await _apply_some(found, made, answers, plan.kubectl)
            found.endpoints = await endpoints.measure(made, port, 2 * plan.samples)
            await _quiet(controller.pid)
            found.idle = await _watch(made, controller.pid, asyncio.sleep(plan.idle_seconds))
            found.busy = await _watch(
                made, controller.pid, _edit(made, routes, plan.busy_seconds), after=_PAUSE * 20
            )
    return found


def _all_served(answers: Answers, routes: int) -> None:
    """When the last one is served, all must be, at the first time of asking."""
    for number in range(routes):
        path = path_of(name_of(number))
        if (got := answers.ask(path)) != (200, "ok"):
            raise BenchError(f"{path} was answered {got} after the last route was served")


async def _create_some(found: Kubernetes, made: Cluster, answers: Answers, count: int) -> None:
    names = [f"new{number:04d}" for number in range(count)]
    made.skip_audit()
    for name in names:
        _not_yet(answers, name)
        began = time.perf_counter()
        await made.create(*documents(name, made.upstream))
        found.api.append((time.perf_counter() - began) * 1000)
        served = await answers.until(path_of(name), _OK, 30)
        found.changes.append((served - began) * 1000)
        programmed = await _settled(made, name)
        found.statuses.append((programmed - began) * 1000)
        await asyncio.sleep(_PAUSE)
    found.requests = made.requests()
    for name in names:
        await made.delete(*documents(name, made.upstream))


async def _apply_some(found: Kubernetes, made: Cluster, answers: Answers, count: int) -> None:
    for name in [f"applied{number:04d}" for number in range(count)]:
        _not_yet(answers, name)
        items = list(documents(name, made.upstream))
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        began = time.perf_counter()
        await asyncio.to_thread(made.plane.kubectl, "apply", "-f", "-", stdin=text)
        found.kubectl_alone.append((time.perf_counter() - began) * 1000)
        served = await answers.until(path_of(name), _OK, 30)
        found.kubectl.append((served - began) * 1000)
        await _settled(made, name)
        await made.delete(*documents(name, made.upstream))
        await asyncio.sleep(_PAUSE)


def _not_yet(answers: Answers, name: str) -> None:
    if (status := answers.ask(path_of(name))[0]) != 404:
        raise BenchError(f"{path_of(name)} answers {status} before its route was made")


async def _settled(made: Cluster, route: str, seconds: float = 60) -> float:
    """Wait until a Route says that it is programmed; when that was (perf_counter)."""
    deadline = time.perf_counter() + seconds
    while (now := time.perf_counter()) < deadline:
        document = await made.client.get(TYPES["Route"], NAMESPACE, route)
        conditions = document.get("status", {}).get("conditions", [])
        if any(each["type"] == "Programmed" and each["status"] == "True" for each in conditions):
            return now
        await asyncio.sleep(0.005)
    raise BenchError(f"Route {route} does not say that it is programmed")


async def _quiet(pid: int, seconds: float = 180) -> None:
    """Wait until the controller has written its statuses: it takes nearly no CPU, twice a second."""
    deadline, calm = time.perf_counter() + seconds, 0
    while calm < 2:
        if time.perf_counter() > deadline:
            raise BenchError(f"the controller did not come to rest within {seconds:.0f} s")
        before = family_cpu_seconds(pid)
        await asyncio.sleep(1)
        calm = calm + 1 if family_cpu_seconds(pid) - before < 0.1 else 0


async def _edit(made: Cluster, routes: int, seconds: float) -> int:
    """Change :data:`RATE` Routes a second, each a path more; how many were changed."""
    began, waiting = time.perf_counter(), set()
    for number in range(int(seconds * RATE)):
        name = name_of(number % routes)
        values = (path_of(name), f"/edit/{routes}/{number}")  # never what it is already
        matches = [{"path": {"type": "Prefix", "value": value}} for value in values]
        patch = {"spec": {"matches": matches}}
        asked = made.client.merge_patch(TYPES["Route"], NAMESPACE, name, patch)
        waiting.add(asyncio.create_task(asked))
        await asyncio.sleep(max(0.0, began + (number + 1) / RATE - time.perf_counter()))
    await asyncio.gather(*waiting)
    return len(waiting)


async def _watch(
    made: Cluster, pid: int, doing: Awaitable[int | None], *, after: float = 0.0
) -> Load:
    """What the controller takes while something is done; ``after`` waits for its last requests."""
    made.skip_audit()
    before, began = family_cpu_seconds(pid), time.perf_counter()
    changes = await doing
    share = (family_cpu_seconds(pid) - before) / (time.perf_counter() - began)
    await asyncio.sleep(after)
    return Load(share * 100, family_rss(pid), made.requests(), changes or 0)


def main() -> None:
    """Measure the sizes named on the command line."""
    from bench import report_kubernetes  # noqa: PLC0415 - it imports this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("routes", nargs="*", type=int)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds")
    parser.add_argument("--busy", type=float, default=20.0, help="seconds")
    chosen = parser.parse_args()
    plan = Plan(chosen.samples, min(chosen.samples, 10), chosen.idle, chosen.busy)
    print(report_kubernetes.kubernetes(run(tuple(chosen.routes) or SIZES, plan)))


if __name__ == "__main__":
    main()
