"""(a) Does a request cost more when there are more routes, or when its route comes last?

For tables of 10, 1,000 and 10,000 routes: CPU per request of Envoy for the first
and the last route, measured in alternating runs. A static Envoy with the same
routes as a plain list stands beside it, to show what a list costs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import configs
from bench.harness import Load, free_port, gateway, load, median, static_envoy

GOAL = 1.05


@dataclass(frozen=True, slots=True)
class Lookup:
    """First and last route of one table: medians over the alternating runs."""

    routes: int
    encoding: str
    first: Load
    last: Load

    @property
    def ratio(self) -> float:
        """CPU per request of the last route relative to the first."""
        return self.last.cpu_us_per_request / self.first.cpu_us_per_request


def path_of(index: int) -> str:
    """The path of one route; all have the same length."""
    return f"/api/v1/service-{index:05d}"


def run(sizes: tuple[int, ...], *, seconds: int, rounds: int) -> list[Lookup]:
    """Measure every table size, as FluxGate encodes it and as a list."""
    results = []
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        folder, up = Path(scratch), free_port()
        with static_envoy(configs.answering_envoy(up), folder, up):
            for size in sizes:
                results.append(_fluxgate(size, up, seconds, rounds))
                results.append(_list(size, up, folder, seconds, rounds))
    return results


def _fluxgate(size: int, up: int, seconds: int, rounds: int) -> Lookup:
    routes = [configs.route(f"r{i:05d}", path_of(i), "pool") for i in range(size)]
    files: dict[str, list[object]] = {
        "gateway.yaml": [configs.gateway_config(8080), configs.upstream("pool", up)],
        "routes.yaml": list(routes),
    }
    with gateway(files) as running:
        return _alternate(size, "FluxGate", running.url, running.envoy_pid, seconds, rounds)


def _list(size: int, up: int, folder: Path, seconds: int, rounds: int) -> Lookup:
    port = free_port()
    routes: list[dict[str, object]] = [
        {"match": {"path_separated_prefix": path_of(i)}, "route": {"cluster": "up"}}
        for i in range(size)
    ]
    config = configs.static_envoy(port, routes, upstream_port=up)
    with static_envoy(config, folder, port) as pid:
        return _alternate(size, "list", f"http://127.0.0.1:{port}", pid, seconds, rounds)


def _alternate(size: int, encoding: str, url: str, pid: int, seconds: int, rounds: int) -> Lookup:
    load(url + path_of(0), pid, seconds=1)
    runs: dict[int, list[Load]] = {0: [], size - 1: []}
    for _ in range(rounds):
        for index, measured in runs.items():
            measured.append(load(f"{url}{path_of(index)}/x", pid, seconds=seconds))
    return Lookup(size, encoding, _median(runs[0]), _median(runs[size - 1]))


def _median(runs: list[Load]) -> Load:
    return Load(
        sum(run.requests for run in runs),
        median([run.rps for run in runs]),
        median([run.p50_ms for run in runs]),
        median([run.p99_ms for run in runs]),
        sum(run.failed for run in runs),
        median([run.cpu_us_per_request for run in runs]),
    )
