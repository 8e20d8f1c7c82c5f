"""(e) How fast is a change on Kubernetes, and what does the controller cost?

A real etcd and kube-apiserver (without fsync), a controller as ``fluxgate controller``, and one
Envoy with one worker, all on this machine. Objects are created by an HTTP client that keeps its
connection, as client-go does; ``kubectl`` itself would add its own start, about 0.1 s.

``python -m bench.kubernetes 100 3000`` measures these sizes and prints the table.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import configs, endpoints
from bench.cluster import NAMESPACE, TYPES, Cluster, cluster, documents, running
from bench.harness import BenchError, cpu_seconds, free_port, static_envoy
from bench.propagation import Propagation

GOAL_CHANGE_MS = 60.0
"""On average at 3,000 routes, the API server's share included."""
GOAL_START_S = 5.0
GOAL_ENDPOINTS_MS = 100.0


@dataclass(frozen=True, slots=True)
class Load:
    """What the controller takes: CPU in per cent of one core, memory in MiB."""

    cpu: float
    rss: float


@dataclass(slots=True)
class Kubernetes:
    """Everything measured at one size. Milliseconds, but ``start``, which is in seconds."""

    routes: int
    start: float = 0.0
    changes: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)
    """The share of ``changes`` in which the API server answered the two creations."""
    statuses: list[float] = field(default_factory=list)
    """From the first creation until the Route says that it is programmed."""
    endpoints: list[float] = field(default_factory=list)
    requests: float = 0.0
    """Requests of the controller to the API server a change (two objects), but Leases."""
    idle: Load = Load(0, 0)
    busy: Load = Load(0, 0)

    def of(self, samples: list[float]) -> Propagation:
        """Mean and quantiles of some samples."""
        return Propagation(self.routes, "one each", tuple(samples))


def run(sizes: tuple[int, ...], *, samples: int, seconds: float) -> list[Kubernetes]:
    """Measure every size; ``seconds`` is how long the controller is watched idle and busy."""
    return [asyncio.run(_measure(size, samples, seconds)) for size in sizes]


async def _measure(routes: int, samples: int, seconds: float) -> Kubernetes:
    found, up, port = Kubernetes(routes), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        with static_envoy(configs.answering_envoy(up), Path(scratch), up):
            async with cluster(routes, up, port) as made:
                began = time.perf_counter()
                with running(made) as (controller, _):
                    last = f"/api/v1/r{max(0, routes - 1):05d}"
                    await _until_status(port, last, 200, 120)
                    found.start = time.perf_counter() - began
                    await asyncio.to_thread(controller.wait_ready)
                    await _settled(made, f"r{max(0, routes - 1):05d}")
                    made.skip_audit()
                    for number in range(samples):
                        await _sample(found, made, f"new{number:04d}", up, port)
                    found.requests = made.requests() / samples
                    found.endpoints = await endpoints.measure(made, port, samples)
                    found.idle = await _watch(controller.pid, seconds, asyncio.sleep(seconds))
                    found.busy = await _watch(
                        controller.pid, seconds, _edit(made, routes, seconds, 20)
                    )
    return found


async def _sample(found: Kubernetes, made: Cluster, name: str, up: int, port: int) -> None:
    """Create one Route with its Upstream, and ask for its path until it answers."""
    path = f"/api/v1/{name}"
    if await asyncio.to_thread(_status, port, path) != 404:
        raise BenchError(f"{path} is served before its route was made")
    began = time.perf_counter()
    await made.create(*documents(name, up))
    found.api.append((time.perf_counter() - began) * 1000)
    await _until_status(port, path, 200, 30)
    found.changes.append((time.perf_counter() - began) * 1000)
    await _settled(made, name)
    found.statuses.append((time.perf_counter() - began) * 1000)


async def _until_status(port: int, path: str, wanted: int, seconds: float) -> None:
    deadline = time.perf_counter() + seconds
    while (status := await asyncio.to_thread(_status, port, path)) != wanted:
        if time.perf_counter() > deadline:
            raise BenchError(f"{path} answered {status} for {seconds:.0f} s")
        await asyncio.sleep(0.0005)


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


async def _settled(made: Cluster, route: str, seconds: float = 300) -> None:
    """Return when a Route says that it is programmed."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        document = await made.client.get(TYPES["Route"], NAMESPACE, route)
        conditions = document.get("status", {}).get("conditions", [])
        if any(each["type"] == "Programmed" and each["status"] == "True" for each in conditions):
            return
        await asyncio.sleep(0.005)
    raise BenchError(f"Route {route} does not say that it is programmed")


async def _edit(made: Cluster, routes: int, seconds: float, rate: float) -> None:
    """Change ``rate`` Routes a second."""
    began = time.perf_counter()
    for number in range(int(seconds * rate)):
        name = f"r{number % routes:05d}"
        matches = [{"path": {"type": "Prefix", "value": f"/api/v1/{name}"}}]
        matches.append({"path": {"type": "Prefix", "value": f"/edit/{number}"}})
        patch = {"spec": {"matches": matches}}
        await made.client.merge_patch(TYPES["Route"], NAMESPACE, name, patch)
        await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.perf_counter()))


async def _watch(pid: int, seconds: float, doing: object) -> Load:
    before, began = cpu_seconds(pid), time.perf_counter()
    await doing  # type: ignore[misc]
    del seconds
    share = (cpu_seconds(pid) - before) / (time.perf_counter() - began)
    return Load(share * 100, psutil.Process(pid).memory_info().rss / 2**20)


def main() -> None:
    """Measure the sizes named on the command line."""
    from bench import report  # noqa: PLC0415 - it imports this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("routes", nargs="*", type=int, default=[100])
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10)
    chosen = parser.parse_args()
    found = run(tuple(chosen.routes), samples=chosen.samples, seconds=chosen.seconds)
    print(report.kubernetes(found))


if __name__ == "__main__":
    main()
