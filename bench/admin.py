"""(k) What the admin API takes: ``python -m bench.admin [routes ...]`` (100 and 10,000 unless told).

``fluxgate run`` on a folder with one file a route, the admin API beside it, its database a SQLite file,
Envoy with one worker. A client with one kept connection signs every write by its key, as
applications do; the clock runs from before the signature until the answer is read.

- A write is POST /v2/routes as the document has it: tried by Envoy, announced to history, written to the
  folder, and answered when Envoy has proven that it serves it. The next request has to be served.
- A page is GET /v2/routes with 100 routes and the health of what they send to; all pages of all routes.
- A dry run is POST /v2/routes?dry_run=true of a route nobody has tried; then the same once more; then again
  right after another route was written: Envoy's answer is known, before and after are made anew.
- A batch is POST /v2/objects:apply?dry_run=true of 500 routes nobody has tried: one trial, of which a batch may
  take 64 to find who in it is at fault.

``--only apply`` applies a folder to a gateway without routes instead, as ``bench/applying.py`` says.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import applying, configs
from bench.harness import BenchError, RunningGateway, fluxgate, free_port, gateway, static_envoy
from bench.report import table, verdict
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import SignedContent, sign

SIZES = (100, 10_000)
PAGE = 100
BATCH = 500
GOAL_PAGE_P99 = 50.0
GOAL_DRY_RUN_P50 = 300.0
GOAL_CACHED_P50 = 20.0
_PLENTY = "100000000"


@dataclass(frozen=True, slots=True)
class Samples:
    """What one kind of request took, in milliseconds and in order."""

    routes: int
    what: str
    samples_ms: tuple[float, ...]
    load: float
    """The machine's load average (one minute) when the gateway had been started."""

    def quantile(self, q: float) -> float:
        """The smallest sample that at least the share ``q`` of all samples does not exceed."""
        ordered = sorted(self.samples_ms)
        return ordered[min(len(ordered) - 1, max(0, round(q * len(ordered) + 0.499999) - 1))]


class Client:
    """Somebody with a key and its signing secret."""

    def __init__(self, port: int, key: str, secret: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._key, self._secret = key, SecretBytes(secret.encode())

    def call(self, method: str, target: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"x-fluxgate-key": self._key}
        if method != "GET":
            path, _, query = target.partition("?")
            signed = SignedContent(method, path, query, content)
            nonce = secrets.token_urlsafe(16)
            headers |= sign(self._secret, signed, int(time.time()), nonce).headers()
            headers["content-type"] = "application/json"
        self._connection.request(method, target, content or None, headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def timed(
        self, expected: int, method: str, target: str, body: object = None
    ) -> tuple[float, dict[str, Any]]:
        """Milliseconds, and the body of an answer that has to be the expected one."""
        began = time.perf_counter()
        status, answer = self.call(method, target, body)
        took = (time.perf_counter() - began) * 1000
        if status != expected:
            raise BenchError(f"{method} {target} answered {status}: {answer}")
        return took, answer


@dataclass(frozen=True, slots=True)
class Admin:
    """Where the admin API is, and the first key of it."""

    port: int
    key: str
    signing_secret: str


class World:
    """A gateway with so many routes, its admin API, and an upstream that answers."""

    def __init__(
        self, running: RunningGateway, client: Client, up: int, routes: int, admin: Admin
    ) -> None:
        self.running, self.client, self.up, self.routes = running, client, up, routes
        self.admin = admin
        self._load = os.getloadavg()[0]

    def body(self, name: str) -> dict[str, Any]:
        """A route as the document creates one."""
        return {
            "name": name,
            "match": {"path": f"/api/v2/{name}/*", "methods": ["POST", "GET"]},
            "upstream": f"http://127.0.0.1:{self.up}",
        }

    def writes(self, samples: int) -> Samples:
        """New routes, each served by the request after its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=5)
        taken = []
        for number in range(samples):
            name = f"posted-{number:04d}"
            took, answer = self.client.timed(201, "POST", "/v2/routes?timeout=60", self.body(name))
            if answer["sync_status"] != "propagated_to_all_nodes":
                raise BenchError(f"{name} is {answer['sync_status']}")
            connection.request("GET", f"/api/v2/{name}/x")
            served = connection.getresponse()
            served.read()
            if served.status != 200:
                raise BenchError(f"{name} was answered with {served.status} after its 201")
            taken.append(took)
        connection.close()
        return self._samples("POST /v2/routes, proven", taken)

    def pages(self, walks: int) -> Samples:
        """Every page, again and again."""
        taken = []
        for _ in range(walks):
            target, seen = f"/v2/routes?limit={PAGE}", 0
            while target:
                took, answer = self.client.timed(200, "GET", target)
                taken.append(took)
                seen += len(answer["data"])
                more = answer["has_more"]
                target = f"/v2/routes?limit={PAGE}&after={answer['after']}" if more else ""
            if seen < self.routes:
                raise BenchError(f"the pages hold {seen} of {self.routes} routes")
        return self._samples(f"GET /v2/routes, {PAGE} a page", taken)

    def dry_runs(self, samples: int) -> tuple[Samples, Samples]:
        """Of what nobody has tried, and each once more."""
        fresh, again = [], []
        for number in range(samples):
            body = self.body(f"tried-{number:04d}")
            for taken in (fresh, again):
                taken.append(self.client.timed(200, "POST", "/v2/routes?dry_run=true", body)[0])
        return self._samples("dry run", fresh), self._samples("dry run, cached", again)

    def dry_runs_after_writes(self, samples: int) -> Samples:
        """Of what Envoy has been asked about, each after another route was written and is served."""
        taken = []
        tried = self.body("known")
        self.client.timed(200, "POST", "/v2/routes?dry_run=true", tried)
        for number in range(samples):
            other = self.body(f"between-{number:04d}")
            self.client.timed(201, "POST", "/v2/routes?timeout=60", other)
            took, answer = self.client.timed(200, "POST", "/v2/routes?dry_run=true", tried)
            if not (answer["valid"] and answer["checked_by_envoy"] and answer["cached"]):
                raise BenchError(f"Envoy's answer was not known: {answer}")
            taken.append(took)
        return self._samples("dry run, Envoy's answer known, world changed", taken)

    def batches(self, samples: int) -> Samples:
        """Of as many routes as a batch may have."""
        taken = []
        for batch in range(samples):
            names = (f"batch-{batch:02d}-{number:03d}" for number in range(BATCH))
            objects = [{"document": configs.route(name, f"/{name}", "pool")} for name in names]
            target = "/v2/objects:apply?dry_run=true"
            took, answer = self.client.timed(200, "POST", target, {"objects": objects})
            if not answer["checked_by_envoy"]:
                raise BenchError(f"Envoy was not asked: {answer['note']}")
            taken.append(took)
        return self._samples(f"dry run of {BATCH} routes at once", taken)

    def _samples(self, what: str, taken: list[float]) -> Samples:
        return Samples(self.routes, what, tuple(taken), self._load)


@contextmanager
def world(routes: int) -> Iterator[World]:
    """Start everything, with a first key."""
    up, port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        folder = Path(scratch)
        environment = {
            "FLUXGATE_ADMIN_MASTER_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
            "FLUXGATE_ADMIN_DATABASE": f"sqlite+aiosqlite:///{folder / 'admin.db'}",
            # one client makes more calls here than anybody may
            "FLUXGATE_ADMIN_LIMIT_READS": _PLENTY,
            "FLUXGATE_ADMIN_LIMIT_WRITES": _PLENTY,
        }
        made = json.loads(
            fluxgate("admin", "bootstrap", "--output", "json", environment=environment)
        )
        files: dict[str, list[object]] = {
            "gateway.yaml": [configs.gateway_config(8080)],
            "pool.yaml": [configs.upstream("pool", up)],
        }
        for number in range(routes):
            name = f"r{number:05d}"
            files[f"{name}.yaml"] = [configs.route(name, f"/api/v1/{name}", "pool")]
        arguments = ("--admin-port", str(port))
        with (
            static_envoy(configs.answering_envoy(up), folder, up),
            gateway(files, seconds=300, arguments=arguments, environment=environment) as running,
        ):
            admin = Admin(port, made["key"], made["signing_secret"])
            client = Client(admin.port, admin.key, admin.signing_secret)
            _settle(client, routes)
            yield World(running, client, up, routes, admin)


def _settle(client: Client, routes: int) -> None:
    """Until everything that was there is in history: that is work of a first start."""
    deadline = time.monotonic() + 180
    kind = "Route" if routes else "Upstream"
    while time.monotonic() < deadline:
        _, answer = client.timed(200, "GET", f"/v2/history?kind={kind}&limit=1")
        if answer["data"] and _recorded(client) >= routes:
            return
        time.sleep(0.2)
    raise BenchError("history has not all routes after 180 s")


def _recorded(client: Client) -> int:
    """How many revisions there are: they are numbered from one."""
    _, answer = client.timed(200, "GET", "/v2/history?limit=1")
    return int(answer["data"][0]["revision"])


def run(sizes: tuple[int, ...], *, samples: int, walks: int) -> list[Samples]:
    """Measure every size."""
    found: list[Samples] = []
    for routes in sizes:
        with world(routes) as present:
            found += present.dry_runs(samples)
            found.append(present.pages(walks if routes > PAGE else walks * 50))
            found.append(present.writes(samples))
            found.append(present.dry_runs_after_writes(samples))
            found.append(present.batches(max(1, samples // 10)))
    return found


def report(results: list[Samples]) -> str:
    """The table of ``results.md``."""
    goals: dict[str, Callable[[Samples], str]] = {
        "GET": lambda each: f"p99 {verdict(each.quantile(0.99), GOAL_PAGE_P99, ' ms')}",
        "dry run": lambda each: f"p50 {verdict(each.quantile(0.5), GOAL_DRY_RUN_P50, ' ms')}",
        "cached": lambda each: f"p50 {verdict(each.quantile(0.5), GOAL_CACHED_P50, ' ms')}",
    }

    def goal(each: Samples) -> str:
        if "at once" in each.what:
            return ""
        found = [name for name in ("cached", "dry run", "GET") if name in each.what]
        return goals[found[0]](each) if found else ""

    rows = [
        (
            f"{each.routes:,}",
            each.what,
            f"{len(each.samples_ms)}",
            f"{statistics.fmean(each.samples_ms):.1f}",
            f"{each.quantile(0.5):.1f}",
            f"{each.quantile(0.99):.1f}",
            f"{max(each.samples_ms):.1f}",
            goal(each),
        )
        for each in results
    ]
    header = ("routes", "request", "samples", "mean ms", "p50", "p99", "max", "goal")
    loads = dict.fromkeys((each.routes, each.load) for each in results)
    told = (
        "\nSigned by a key, one client, one connection; SQLite. A write is tried by Envoy, kept in history, and\n"
        "answered when Envoy has proven that it serves it. Load average before: "
        + ", ".join(f"{load:.1f} ({routes:,} routes)" for routes, load in loads)
        + f", on {os.cpu_count()} CPUs.\n"
    )
    return "\n## (k) The admin API\n\n" + table(header, rows) + told


def run_apply(sizes: tuple[int, ...]) -> list[applying.Apply]:
    """Apply folders of so many routes, with one Upstream and with one each."""
    found = []
    for own in (False, True):
        for routes in sizes:
            with world(0) as present, applying.connected(*_of(present.admin)) as api:
                running = present.running
                found.append(
                    applying.measure(
                        api,
                        routes=routes,
                        own=own,
                        pid=running.pid,
                        envoy=running.envoy_pid,
                        gateway=running.port,
                        up=present.up,
                    )
                )
    return found


def _of(admin: Admin) -> tuple[int, str, str]:
    return admin.port, admin.key, admin.signing_secret


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int)
    parser.add_argument("--only", choices=("apply", "requests"))
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--walks", type=int, default=3)
    given = parser.parse_args()
    if given.only != "apply":
        sizes = tuple(given.sizes or SIZES)
        print(report(run(sizes, samples=given.samples, walks=given.walks)), flush=True)
    if given.only != "requests":
        print(applying.report(run_apply(tuple(given.sizes or (applying.ROUTES,)))))


if __name__ == "__main__":
    main()
