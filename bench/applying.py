"""What ``fluxgate apply`` of many routes takes: ``python -m bench.admin --only apply [routes ...]``.

``fluxgate run`` on a folder without routes, the admin API beside it, its database a SQLite file, Envoy with one
worker. The folder of N routes is read, compared with what there is, and written in the batches that the
command sends (its own code, signed by a key, one connection); the last batch waits until Envoy has proven that it
serves everything. Then the first and the last route of the folder have to be served.

- *shared*: every route leads to one Upstream. *own*: each to one of its own, which is written with it.
- A batch is timed from before it is signed until its answer is read. First and last are the means of five: the
  last without the one that waits for the proof.
- Then ``fluxgate routes list`` is run five times; the median counts, its start included.
- CPU time is that of the process, and of its Envoy. What is tried runs in Envoys of its own and is not in it.
"""

from __future__ import annotations

import http.client
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import configs
from bench.harness import BenchError, cpu_seconds, fluxgate
from bench.report import table, verdict
from fluxgate_cli.admin_client.api import AdminApi
from fluxgate_cli.admin_client.contexts import Context
from fluxgate_cli.admin_client.secrets import SecretSource
from fluxgate_cli.admin_client.transport import Transport
from fluxgate_cli.declared.applying import Applied, How, apply_steps
from fluxgate_cli.declared.making import planned_by
from fluxgate_cli.declared.plan import Wishes

ROUTES = 10_000
GOAL_SECONDS = 60.0
GOAL_GROWTH = 2.0
ENDS = 5
"""Batches at the beginning and at the end that are compared."""
_PROOF_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Apply:
    """One folder applied. Seconds."""

    routes: int
    upstreams: str
    planning: float
    batches: tuple[float, ...]
    objects: tuple[int, ...]
    """How many each batch had."""
    cpu: float
    envoy_cpu: float
    listing: float
    """``fluxgate routes list`` of all of them, into a pipe."""
    load: float

    @property
    def total(self) -> float:
        """From reading the first file until all of it is served."""
        return self.planning + sum(self.batches)

    @property
    def first(self) -> float:
        """A batch where nothing is yet."""
        return statistics.fmean(self.batches[:ENDS])

    @property
    def last(self) -> float:
        """A full batch where everything else is; the one that waits for the proof is not among them."""
        return statistics.fmean(self.batches[-ENDS - 1 : -1])


def write_folder(folder: Path, routes: int, *, port: int, own: bool) -> None:
    """One file a route, as people have them."""
    for number in range(routes):
        name = f"r{number:05d}"
        documents = [configs.route(name, f"/api/v1/{name}", name if own else "pool")]
        if own:
            documents.insert(0, configs.upstream(name, port))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))


def apply_folder(api: AdminApi, folder: Path) -> tuple[float, list[float], list[int]]:
    """As the command does it: seconds of the plan, and of each batch, and the objects of each."""
    began = time.perf_counter()
    plan = planned_by(api, folder, Wishes("bench"), None)
    planned = time.perf_counter()
    ends: list[float] = [planned]
    counts: list[int] = []

    def advance(count: int) -> None:
        ends.append(time.perf_counter())
        counts.append(count)

    _check(apply_steps(api, plan.steps, How(seconds=_PROOF_SECONDS), advance))
    return planned - began, [now - then for then, now in itertools.pairwise(ends)], counts


def _check(applied: Applied) -> None:
    if applied.stopped is not None:
        raise applied.stopped
    bad = [each for each in applied.results if each.outcome != "created"]
    if bad:
        raise BenchError(f"{bad[0].step.ref} is {bad[0].outcome}: {bad[0].message}")
    if applied.sync_status != "propagated_to_all_nodes":
        raise BenchError(f"not served: {applied.sync_status} {applied.sync_message}")


@contextmanager
def connected(port: int, key: str, secret: str) -> Iterator[AdminApi]:
    """The command line's client of the API."""
    context = Context(
        server=f"http://127.0.0.1:{port}",
        key=SecretSource(value=key),
        signing_secret=SecretSource(value=secret),
    )
    with Transport(context) as transport:
        yield AdminApi(transport, context)


def measure(
    api: AdminApi, *, routes: int, own: bool, pid: int, envoy: int, gateway: int, up: int
) -> Apply:
    """Apply one folder to a gateway that has no routes."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        write_folder(Path(scratch), routes, port=up, own=own)
        cpu, envoy_cpu = cpu_seconds(pid), cpu_seconds(envoy)
        planning, batches, counts = apply_folder(api, Path(scratch))
        cpu, envoy_cpu = cpu_seconds(pid) - cpu, cpu_seconds(envoy) - envoy_cpu
    for name in ("r00000", f"r{routes - 1:05d}"):
        _served(gateway, f"/api/v1/{name}")
    return Apply(
        routes,
        "own" if own else "shared",
        planning,
        tuple(batches),
        tuple(counts),
        cpu,
        envoy_cpu,
        statistics.median(_listing(api.context, routes) for _ in range(ENDS)),
        load,
    )


def _listing(context: Context, routes: int) -> float:
    """Seconds of the command itself, in a process of its own."""
    if context.key is None or context.signing_secret is None:
        raise BenchError("the context has no key")
    environment = {
        "FLUXGATE_SERVER": context.server,
        "FLUXGATE_KEY": context.key.value or "",
        "FLUXGATE_SIGNING_SECRET": context.signing_secret.value or "",
    }
    began = time.perf_counter()
    listed = fluxgate("routes", "list", environment=environment)
    took = time.perf_counter() - began
    if len(listed.splitlines()) != routes + 1:
        raise BenchError(f"{len(listed.splitlines()) - 1} of {routes} routes were listed")
    return took


def _served(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise BenchError(f"{path} was answered with {status} after it was said to be served")


def report(results: Sequence[Apply]) -> str:
    """The table of ``results.md``."""
    rows = [
        (
            f"{each.routes:,}",
            each.upstreams,
            f"{sum(each.objects):,} in {len(each.batches)}",
            f"{each.total:.1f}",
            f"{each.planning:.1f}",
            f"{each.first:.2f}",
            f"{each.last:.2f}",
            f"{each.cpu:.1f}",
            f"{each.envoy_cpu:.1f}",
            f"{each.listing:.1f}",
            f"{_goal(each)}last/first {each.last / each.first:.1f}: "
            + verdict(each.last / each.first, GOAL_GROWTH),
        )
        for each in results
    ]
    header = (
        *("routes", "upstreams", "objects in batches", "s in all", "of it reading and comparing"),
        *("first batch s", "last batch s", "CPU s", "Envoy's CPU s", "routes list s", "goal"),
    )
    loads = ", ".join(f"{each.load:.1f}" for each in results)
    return (
        "\n### fluxgate apply of a folder to a gateway without routes\n\n"
        + table(header, rows)
        + f"\nLoad average before: {loads}, on {len(os.sched_getaffinity(0))} CPUs.\n"
    )


def _goal(each: Apply) -> str:
    if each.routes != ROUTES or each.upstreams != "shared":
        return ""
    return f"in all {verdict(each.total, GOAL_SECONDS, ' s')}; "
