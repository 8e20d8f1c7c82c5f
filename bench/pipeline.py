"""(b) What does the gateway cost beside a bare Envoy with the same upstream?

One gateway with one worker serves four routes that differ in what they ask for;
a bare Envoy with one worker serves the same upstream. The runs alternate.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import configs
from bench.harness import Load, fluxgate, free_port, gateway, load, median, static_envoy

GOAL_FULL = 1.25
GOAL_KEY = 1.15


@dataclass(frozen=True, slots=True)
class Cost:
    """One variant; ``ratio`` is its CPU per request relative to the bare Envoy's."""

    variant: str
    rps: float
    p99_ms: float
    cpu_us: float
    ratio: float
    failed: int


def _key_document(folder: Path) -> tuple[str, dict[str, object]]:
    """A fresh key in plain text, and the ApiKey that stands for it."""
    made = fluxgate(
        "api-keys", "create", "--name", "bench", "--plan", "huge", "--config", str(folder)
    )
    document = yaml.safe_load((folder / "api-keys" / "bench.yaml").read_text())
    return made.strip().splitlines()[-1], document


def run(*, seconds: int, rounds: int) -> list[Cost]:
    """Measure the variants in alternation and relate them to the bare Envoy."""
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        folder, up, bare_port = Path(scratch), free_port(), free_port()
        (folder / "keys").mkdir()
        key, key_document = _key_document(folder / "keys")
        bare = configs.static_envoy(
            bare_port,
            [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
            upstream_port=up,
        )
        quiet = _files(up, key_document, access_log=None)
        logged = _files(up, key_document, access_log=str(folder / "access.log"))
        with (
            static_envoy(configs.answering_envoy(up), folder, up),
            static_envoy(bare, folder, bare_port) as bare_pid,
            gateway(quiet) as plain,
            gateway(logged) as full,
        ):
            targets = {
                "bare Envoy": (f"http://127.0.0.1:{bare_port}/x", bare_pid),
                "open route, no access log": (f"{plain.url}/open/x", plain.envoy_pid),
                "key": (f"{plain.url}/key/x", plain.envoy_pid),
                "key, limit": (f"{plain.url}/limit/x", plain.envoy_pid),
                "open route, access log": (f"{full.url}/open/x", full.envoy_pid),
                "full: CORS, key, limit, access log": (f"{full.url}/full/x", full.envoy_pid),
            }
            return _measure(targets, key, seconds, rounds)


def _files(up: int, key: dict[str, object], access_log: str | None) -> dict[str, list[object]]:
    plan = {"name": "huge", "requests": 100_000_000, "window": "1m", "burst": 100_000_000}
    auth: dict[str, object] = {"auth": {"mode": "Required"}}
    keyless = {**key, "spec": {k: v for k, v in _spec(key).items() if k != "plan"}}
    keyless["metadata"] = {"name": "bench"}
    return {
        "gateway.yaml": [
            configs.gateway_config(8080, access_log=access_log, plans=[plan]),
            configs.upstream("pool", up),
            keyless,
        ],
        "routes.yaml": [
            configs.route("open", "/open", "pool"),
            configs.route("key", "/key", "pool", **auth),
            configs.route("limit", "/limit", "pool", **auth, rateLimit={"plan": "huge"}),
            configs.route("full", "/full", "pool", **auth, rateLimit={"plan": "huge"}, cors={}),
        ],
    }


def _spec(document: dict[str, object]) -> dict[str, object]:
    spec = document["spec"]
    if not isinstance(spec, dict):
        raise TypeError("an ApiKey document has a spec")
    return spec


def _measure(
    targets: dict[str, tuple[str, int]], key: str, seconds: int, rounds: int
) -> list[Cost]:
    headers = [f"apikey: {key}", "origin: https://app.example.com"]
    runs: dict[str, list[Load]] = {name: [] for name in targets}
    for url, pid in targets.values():
        load(url, pid, seconds=1, headers=headers)
    for _ in range(rounds):
        for name, (url, pid) in targets.items():
            runs[name].append(load(url, pid, seconds=seconds, headers=headers))
    bare = [run.cpu_us_per_request for run in runs["bare Envoy"]]
    return [
        Cost(
            name,
            median([run.rps for run in measured]),
            median([run.p99_ms for run in measured]),
            median([run.cpu_us_per_request for run in measured]),
            median(
                [run.cpu_us_per_request / base for run, base in zip(measured, bare, strict=True)]
            ),
            sum(run.failed for run in measured),
        )
        for name, measured in runs.items()
    ]
