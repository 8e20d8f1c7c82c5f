"""What the key check and the plan limit cost, beside a bare Envoy with the same upstream.

python -m bench.key_check [--seconds 3] [--rounds 5]

Paired runs that alternate on the same processes; CPU time per request of the proxy,
from /proc. ``spread`` is the least and the greatest ratio seen.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.envoy import EnvoyProcess
from support.keygateway import KeyGateway, api_key, gateway, route

from bench import configs, report
from bench.harness import BenchError, cpu_seconds, free_port, median, require
from fluxgate.ir import AccessLogIR, KeyAuth, PlanBucket

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1a00000"
OTHER_KEYS = 10_000


def run(*, seconds: int, rounds: int) -> list[tuple[str, float, float, float, float]]:
    """Variant, CPU µs per request, median ratio to the bare Envoy, and the ratio's spread."""
    plan = PlanBucket("huge", 1_000_000_000, 60_000, 1_000_000_000)
    own = {"tenant": "acme", "workspace": "blue", "role": "app_user", "scopes": ("data:read",)}
    keys = [api_key(f"flc_service_{i:040d}", f"key-{i}", tenant="acme") for i in range(OTHER_KEYS)]
    keys.append(api_key(KEY, "key-bench", **own))
    routes = [
        route("/open"),
        route("/key", KeyAuth()),
        route("/limit", KeyAuth(), plan="huge"),
        route("/address", plan="huge"),
    ]
    # no access log is written here, so the script need not name the caller for one
    served = replace(gateway(keys, [plan]), access_log=AccessLogIR(""))
    up, bare_port = free_port(), free_port()
    config = configs.static_envoy(
        bare_port, [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}], upstream_port=up
    )
    with (
        EnvoyProcess(configs.answering_envoy(up)),
        EnvoyProcess(config) as bare,
        KeyGateway(served, routes, upstream_port=up) as tested,
    ):
        at, pid = f"http://127.0.0.1:{tested.port}", tested.envoy.pid
        targets = {"bare Envoy": (f"http://127.0.0.1:{bare_port}/x", bare.pid)}
        targets |= {
            "open route": (f"{at}/open/x", pid),
            "key": (f"{at}/key/x", pid),
            "key, limit": (f"{at}/limit/x", pid),
            "limit by address": (f"{at}/address/x", pid),
        }
        return _alternate(targets, seconds, rounds)


def _alternate(
    targets: dict[str, tuple[str, int]], seconds: int, rounds: int
) -> list[tuple[str, float, float, float, float]]:
    runs: dict[str, list[float]] = {name: [] for name in targets}
    for url, pid in targets.values():
        _cpu_per_request(url, pid, 1)
    for _ in range(rounds):
        for name, (url, pid) in targets.items():
            runs[name].append(_cpu_per_request(url, pid, seconds))
    rows = []
    for name, cpu in runs.items():
        ratios = [mine / base for mine, base in zip(cpu, runs["bare Envoy"], strict=True)]
        rows.append((name, median(cpu), median(ratios), min(ratios), max(ratios)))
    return rows


def _cpu_per_request(url: str, pid: int, seconds: int) -> float:
    """Microseconds of CPU that process ``pid`` spends on a request; every answer must be 2xx."""
    command = [require("wrk", "wrk"), "-t1", "-c32", f"-d{seconds}s", "-H", f"apikey: {KEY}", url]
    before = cpu_seconds(pid)
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(pid) - before
    count = re.search(r"(\d+) requests in", output)
    if count is None or "Non-2xx" in output or "Socket errors" in output:
        raise BenchError(f"wrk did not get 2xx from {url} every time:\n{output}")
    return spent / int(count[1]) * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = [
        (name, f"{cpu:.1f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}")
        for name, cpu, ratio, low, high in run(seconds=given.seconds, rounds=given.rounds)
    ]
    print(report.table(("variant", "CPU µs/request", "ratio", "spread"), rows))


if __name__ == "__main__":
    main()
