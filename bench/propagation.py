"""(c) How long from writing a route's file to the first 200 on its own path?

The clock starts before the file is renamed into place and stops when the answer
to a request on the new route's own path is a 200. A client with one keep-alive
connection asks again and again; nothing else is running. Every sample counts.
"""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench import configs
from bench.harness import BenchError, RunningGateway, free_port, gateway, static_envoy

GOALS_MS = {3_000: 30.0, 10_000: 100.0}


@dataclass(frozen=True, slots=True)
class Propagation:
    """All samples of one table size, in milliseconds."""

    routes: int
    upstreams: str
    samples_ms: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Arithmetic mean of all samples."""
        return statistics.fmean(self.samples_ms)

    def quantile(self, q: float) -> float:
        """The smallest sample that at least the share ``q`` of all samples does not exceed."""
        ordered = sorted(self.samples_ms)
        return ordered[min(len(ordered) - 1, max(0, round(q * len(ordered) + 0.499999) - 1))]


def run(sizes: tuple[int, ...], *, samples: int, own_upstream: bool) -> list[Propagation]:
    """Measure every table size with ``samples`` new routes each."""
    results = []
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        up = free_port()
        with static_envoy(configs.answering_envoy(up), Path(scratch), up):
            for size in sizes:
                files: dict[str, list[object]] = {"gateway.yaml": [configs.gateway_config(8080)]}
                for index in range(size):
                    files[f"r{index:05d}.yaml"] = _documents(f"r{index:05d}", up, own_upstream)
                if not own_upstream:
                    files["pool.yaml"] = [configs.upstream("pool", up)]
                with gateway(files, seconds=300) as running:
                    measured = [
                        _sample(running, f"new{n:04d}", up, own_upstream) for n in range(samples)
                    ]
                label = "one each" if own_upstream else "one shared"
                results.append(Propagation(size, label, tuple(measured)))
    return results


def _documents(name: str, up: int, own_upstream: bool) -> list[object]:
    target = name if own_upstream else "pool"
    documents: list[object] = [configs.route(name, f"/api/v1/{name}", target)]
    if own_upstream:
        documents.append(configs.upstream(name, up))
    return documents


def _sample(running: RunningGateway, name: str, up: int, own_upstream: bool) -> float:
    """Write one route and ask for its path until it answers; milliseconds."""
    documents = _documents(name, up, own_upstream)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    path = f"/api/v1/{name}"
    if _status(connection, path) != 404:
        raise BenchError(f"{path} is served before its route was written")
    started = time.perf_counter()
    running.write(f"{name}.yaml", *documents)
    while (status := _status(connection, path)) != 200:
        if status not in (404, 503) or time.perf_counter() - started > 30:
            raise BenchError(
                f"{path} answered {status} after {time.perf_counter() - started:.1f} s"
            )
        time.sleep(0.0005)
    elapsed = (time.perf_counter() - started) * 1000
    connection.close()
    running.wait()
    return elapsed


def _status(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status
