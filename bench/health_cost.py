"""What it costs an Envoy to be asked about the health of its targets, beside the ways not taken.

``python -m bench.health_cost [CLUSTERS]`` prints a table: the CPU time of Envoy and the size of the
answer, for each question. A twentieth of the clusters has an active check, one target in a thousand
is down. See docs/decisions/0023.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.envoy import EnvoyProcess, eventually
from support.gateway import cluster, forward, gateway, route

from fluxgate.ir import ActiveCheck, Cluster, EndpointIR, OutlierDetection
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap
from fluxgate_operator.health.readings import FAILURES_PATH, clusters_path

CHECK = ActiveCheck("TCP", "/", "", "", 600_000, 2_000, 1, 1, (200,))
EJECTION = OutlierDetection(5, 10_000, 30_000, 50)
ROUNDS = 20


@contextmanager
def accepting() -> Iterator[int]:
    """A port where every connection is taken and closed."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:

        def take() -> None:
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield int(server.getsockname()[1])


def clusters(count: int, port: int) -> list[Cluster]:
    """Two targets each; the second of every thousandth is down."""
    return [
        cluster(
            f"upstream/default/app-{number:05d}/abcdef12",
            endpoints=(
                EndpointIR("127.0.0.1", port),
                EndpointIR("127.0.0.2", port if number % 1000 else 1),
            ),
            active_check=CHECK if number % 20 == 0 else None,
            outlier_detection=EJECTION,
        )
        for number in range(count)
    ]


def measure(envoy: EnvoyProcess, path: str) -> tuple[float, int]:
    """CPU milliseconds of one question, and bytes of its answer."""
    process = psutil.Process(envoy.pid)
    before = process.cpu_times()
    for _ in range(ROUNDS):
        answer = envoy.admin(path)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return 1000 * spent / ROUNDS, len(answer)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with accepting() as port:
        pools = clusters(count, port)
        served = gateway((route("/", forward(pools[0].name)),), pools)
        bootstrap = static_bootstrap(build_snapshot(served))
        bootstrap.deferred_stat_options.enable_deferred_creation_stats = True
        names = [each.name for each in pools]
        questions = {
            "counters of failures, those in use (asked every time)": FAILURES_PATH,
            "endpoints of one cluster (after a failure)": clusters_path(names[:1]),
            "endpoints of 100 clusters": clusters_path(names[:100]),
            "all statistics": "/stats",
            "all endpoints, as text": "/clusters",
            "all endpoints, as JSON": "/clusters?format=json",
        }
        with EnvoyProcess(bootstrap) as envoy:
            eventually(lambda: "failure" in envoy.admin(FAILURES_PATH), what="checks have failed")
            time.sleep(1.0)  # a benchmark: let the checks of the start end
            print(f"| {count} clusters | CPU of Envoy | answer |\n|---|---|---|")
            for name, path in questions.items():
                milliseconds, size = measure(envoy, path)
                print(f"| {name} | {milliseconds:.0f} ms | {size / 1024:.0f} KiB |")


if __name__ == "__main__":
    main()
