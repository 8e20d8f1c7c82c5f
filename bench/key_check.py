"""What the key check and the plan limit cost, beside a bare Envoy with the same upstream.

python -m bench.key_check [--seconds 3] [--rounds 5]

Paired runs that alternate on the same processes; CPU time per request of the proxy,
from /proc. ``spread`` is the least and the greatest ratio seen.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.envoy import EnvoyProcess
from support.keygateway import KeyGateway, api_key, gateway, route

from bench import configs, report
from bench.harness import Load, free_port, load, median
from fluxgate.ir import KeyAuth, PlanBucket

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
    up, bare_port = free_port(), free_port()
    config = configs.static_envoy(
        bare_port, [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}], upstream_port=up
    )
    with (
        EnvoyProcess(configs.answering_envoy(up)),
        EnvoyProcess(config) as bare,
        KeyGateway(gateway(keys, [plan]), routes, upstream_port=up) as tested,
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
    headers = [f"apikey: {KEY}"]
    runs: dict[str, list[Load]] = {name: [] for name in targets}
    for url, pid in targets.values():
        if (warm := load(url, pid, seconds=1, headers=headers)).failed:
            raise SystemExit(f"{url}: {warm.failed} requests failed")
    for _ in range(rounds):
        for name, (url, pid) in targets.items():
            runs[name].append(load(url, pid, seconds=seconds, headers=headers))
    bare = [each.cpu_us_per_request for each in runs["bare Envoy"]]
    rows = []
    for name, measured in runs.items():
        cpu = [each.cpu_us_per_request for each in measured]
        ratios = [mine / base for mine, base in zip(cpu, bare, strict=True)]
        rows.append((name, median(cpu), median(ratios), min(ratios), max(ratios)))
    return rows


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
