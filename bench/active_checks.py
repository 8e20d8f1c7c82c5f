"""What active health checks cost an Envoy: open files, time until all are asked, CPU.

``python -m bench.active_checks`` prints two tables. The first compares ways to check many targets
that all begin when Envoy starts; every pool has one target, which answers at once. The second is
the time from publishing one more route with a pool of its own to its first 200, beside so many
checked targets. See docs/decisions/0024.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import acknowledged, bootstrap
from support.certificates import Authority
from support.client import request
from support.crowd import Crowd
from support.envoy import EnvoyProcess, eventually
from support.gateway import cluster, forward, gateway, route

from fluxgate.ir import ActiveCheck, Cluster, ClusterTLS, Gateway, ListenerIR
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

SECONDS = 10
CHECK = ActiveCheck("HTTP", "/", "", "", 1000 * SECONDS, 2_000, 1, 1, (200,))
COUNTS = (1_000, 3_000, 10_000)
SAMPLES = 30
Change = Callable[[health_check_v3.HealthCheck], None]


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of Envoy came to; files at most, seconds, CPU microseconds of a check."""

    first_files: int
    ready: float
    later_files: int
    check_cost: float


def kept(check: health_check_v3.HealthCheck) -> None:
    """Keep a connection for every target."""
    check.reuse_connection.value = True


def by_default(check: health_check_v3.HealthCheck) -> None:
    """As Envoy does it when it is told nothing."""
    for name in ("initial_jitter", "interval_jitter_percent", "reuse_connection"):
        check.ClearField(name)


def as_served(_: health_check_v3.HealthCheck) -> None:
    """As FluxGate says it."""


class OpenFiles:
    """The most files a process had open since the last question."""

    def __init__(self) -> None:
        self._most, self._pid = 0, 0
        self._stop = threading.Event()

    @contextmanager
    def of_child(self) -> Iterator[None]:
        """Watch the Envoy that this process starts next."""
        own = psutil.Process()
        known = {each.pid for each in own.children()}

        def watch() -> None:
            while not self._stop.wait(0.002):
                if not self._pid:
                    new = [each for each in own.children() if each.pid not in known]
                    self._pid = new[0].pid if new else 0
                    continue
                try:
                    self._most = max(self._most, psutil.Process(self._pid).num_fds())
                except psutil.NoSuchProcess:
                    return

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def most(self) -> int:
        """Since the last time this was asked."""
        found, self._most = self._most, 0
        return found


def pools(crowd: Crowd, count: int, change: Change, **fields: Any) -> bootstrap_v3.Bootstrap:
    """A gateway with so many checked pools, as a static configuration."""
    made = crowd.pools(CHECK, count, **fields)
    served = gateway((route("/", forward(made[0].name)),), made)
    found = static_bootstrap(build_snapshot(served))
    found.deferred_stat_options.enable_deferred_creation_stats = True
    for each in found.static_resources.clusters:
        for check in each.health_checks:
            change(check)
    return found


def start(crowd: Crowd, count: int, change: Change, **fields: Any) -> Start:
    """Start an Envoy, wait until it is ready, then for one interval more."""
    configuration = pools(crowd, count, change, **fields)
    files = OpenFiles()
    with files.of_child():
        began = time.monotonic()
        with EnvoyProcess(configuration, log_level="error") as envoy:
            ready = time.monotonic() - began
            first, process = files.most(), psutil.Process(envoy.pid)
            time.sleep(1)  # a benchmark: stragglers of the first round
            files.most()
            asked, before = crowd.asked, process.cpu_times()
            time.sleep(1.5 * SECONDS)  # a benchmark: a round and the start of the next
            after, asked = process.cpu_times(), crowd.asked - asked
            spent = after.user + after.system - before.user - before.system
            return Start(first, ready, files.most(), 1e6 * spent / max(asked, 1))


def print_starts() -> None:
    """The first table."""
    ways: list[tuple[str, Change]] = [("Envoy's defaults", by_default), ("as served", as_served)]
    print("| | targets | files at the start | ready after | files later | CPU of a check |")
    print("|---|---|---|---|---|---|")
    with Crowd() as crowd:
        for count in COUNTS:
            for name, change in ways:
                _print_start(name, count, start(crowd, count, change))
    tls = ClusterTLS("crowd.example.com", insecure_skip_verify=True)
    certificate = Authority().issue("crowd.example.com")
    with Crowd(certificate) as crowd:
        for name, change in (("TLS, connections kept", kept), ("TLS, as served", as_served)):
            _print_start(name, COUNTS[1], start(crowd, COUNTS[1], change, tls=tls))
    with Crowd(certificate, resumption=False) as crowd:
        found = start(crowd, COUNTS[1], as_served, tls=tls)
        _print_start("TLS, as served, whole handshakes", COUNTS[1], found)


def _print_start(name: str, count: int, found: Start) -> None:
    print(
        f"| {name} | {count} | {found.first_files} | {found.ready:.1f} s | {found.later_files} "
        f"| {found.check_cost:.0f} µs |",
        flush=True,
    )


def serving(made: list[Cluster]) -> Gateway:
    """A route for every pool."""
    routes = [route(f"/{each.name}", forward(each.name)) for each in made]
    listener = ListenerIR("http", "127.0.0.1", 0, "main")
    return gateway(routes, made, listeners=(listener,))


def first_answers(crowd: Crowd, count: int) -> list[float]:
    """Seconds from publishing one more pool and route to its first 200, sorted."""
    known = crowd.pools(CHECK, count - 1)
    found = []
    with BackgroundXds() as xds:
        snapshot = build_snapshot(serving(known))
        xds.publish(snapshot)
        with EnvoyProcess(bootstrap(xds.port, "DELTA_GRPC"), log_level="error") as envoy:
            acknowledged(xds, snapshot)
            port = envoy.port("http")
            for number in range(SAMPLES):
                name = f"new-{number}"
                new = cluster(name, endpoints=(crowd.target(count),), active_check=CHECK)
                snapshot = build_snapshot(serving([*known, new]))
                began = time.monotonic()
                xds.publish(snapshot)
                eventually(lambda: request(port, f"/{name}").status == 200, what="200", timeout=60)  # noqa: B023 - called at once
                found.append(time.monotonic() - began)
    return sorted(found)


def print_first_answers() -> None:
    """The second table."""
    print("\n| checked targets | median | most |\n|---|---|---|")
    with Crowd() as crowd:
        for count in (10, *COUNTS):
            found = first_answers(crowd, count)
            print(
                f"| {count} | {1000 * statistics.median(found):.0f} ms | {1000 * found[-1]:.0f} ms |"
            )


if __name__ == "__main__":
    print_starts()
    print_first_answers()
