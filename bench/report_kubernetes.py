"""The tables of ``results.md`` about Kubernetes."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from bench.kubernetes import GOAL_CHANGE_MS, GOAL_ENDPOINTS_MS, GOAL_START_S, RATE, Kubernetes, Load
from bench.report import table, verdict
from bench.statuses import Reads
from bench.statuses_cluster import Flood


def kubernetes(results: Sequence[Kubernetes]) -> str:
    """(e)"""
    loads = ", ".join(f"{each.load_average:.1f}" for each in results)
    return (
        "\n## (e) On Kubernetes\n\n"
        f"{results[0].versions}. etcd without fsync, API server, controller, Envoy (one worker) and clients\n"
        "share the machine. Every Route has its own path and its own Upstream. Load average before\n"
        f"each controller was started (the objects had just been made): {loads}.\n"
        + _changes(results)
        + _starts(results)
        + _endpoints(results)
        + _loads(results)
        + _samples(results)
    )


def _changes(results: Sequence[Kubernetes]) -> str:
    rows = []
    applied = len(results[0].kubectl)
    for each in results:
        found = each.of(each.changes)
        size, goal = GOAL_CHANGE_MS
        rows.append(
            (
                f"{each.routes:,}",
                f"{len(each.changes)}",
                f"{found.mean:.1f}",
                f"{found.quantile(0.5):.1f}",
                f"{found.quantile(0.99):.1f}",
                f"{max(each.changes):.1f}",
                f"{statistics.fmean(each.api):.1f}",
                f"{statistics.fmean(each.statuses):.0f}",
                f"{statistics.fmean(each.kubectl):.0f} / {statistics.fmean(each.kubectl_alone):.0f}",
                verdict(found.mean, goal, " ms") if each.routes == size else "",
            )
        )
    header = (
        *("routes", "samples", "mean ms", "p50", "p99", "max", "of it API server (mean)"),
        *("status says so (mean)", "by kubectl / kubectl itself (mean)", "goal (mean)"),
    )
    return (
        "\n### From creating a Route and its Upstream to the first 200 on its path\n\n"
        "Created by an HTTP client (aiohttp) with one kept connection: POST the Upstream, POST the\n"
        "Route, from before the first until Envoy answers; the API server's share is both POSTs.\n"
        f"The status comes after that. `kubectl apply -f -` of both is measured apart, {applied} times.\n\n"
        + table(header, rows)
    )


def _starts(results: Sequence[Kubernetes]) -> str:
    size, goal = GOAL_START_S
    rows = [
        (
            f"{each.routes:,}",
            f"{each.start:.2f}",
            f"{each.start_cpu:.2f}",
            verdict(each.start, goal, " s") if each.routes == size else "",
        )
        for each in results
    ]
    return (
        "\n### From starting the controller's process until Envoy serves every route\n\n"
        "Envoy is started with it. The clock stops at the first 200 on the last path; then every\n"
        "path is asked once, and must answer 200.\n\n"
        + table(("routes", "s", "CPU s", "goal"), rows)
    )


def _endpoints(results: Sequence[Kubernetes]) -> str:
    rows = []
    for each in results:
        found = each.of(each.endpoints)
        rows.append(
            (
                f"{each.routes:,}",
                f"{len(each.endpoints)}",
                *(f"{value:.1f}" for value in (found.mean, found.quantile(0.5))),
                f"{found.quantile(0.99):.1f}",
                f"{max(each.endpoints):.1f}",
                verdict(found.quantile(0.99), GOAL_ENDPOINTS_MS, " ms"),
            )
        )
    header = ("routes", "samples", "mean ms", "p50", "p99", "max", "goal (p99)")
    return (
        "\n### From patching an EndpointSlice until the new endpoint answers through Envoy\n\n"
        + table(header, rows)
    )


def _loads(results: Sequence[Kubernetes]) -> str:
    rows = []
    for each in results:
        for what, load in (("idle", each.idle), (f"{RATE} edits a second", each.busy)):
            if load is not None:
                rows.append((f"{each.routes:,}", what, *_cells(load)))
    header = ("routes", "while", "CPU % of a core", "RSS MiB")
    creations = "\n".join(
        f"- {each.routes:,} routes: "
        + per_change(each.requests, len(each.changes), "creation of a Route and its Upstream")
        for each in results
    )
    edits = "\n".join(
        f"- {each.routes:,} routes: " + per_change(each.busy.requests, each.busy.changes, "edit")
        for each in results
        if each.busy is not None and each.busy.changes
    )
    return (
        "\n### What the controller takes\n\n"
        "With its child processes; no goal.\n\n"
        + table(header, rows)
        + "\nIts requests to the API server (audit log; all its clients, Leases left out):\n\n"
        f"{creations}\n{edits}\n"
    )


def _cells(load: Load) -> tuple[str, str]:
    return f"{load.cpu:.1f}", f"{load.rss:.0f}"


def per_change(requests: Counter[str], changes: int, what: str) -> str:
    """Requests for each change, Leases left out, by client and kind of request."""
    counted = {each: count for each, count in requests.items() if not each.endswith(" leases")}
    parts = ", ".join(f"{each} {count / changes:.2f}" for each, count in sorted(counted.items()))
    return f"{sum(counted.values()) / changes:.2f} for each {what} ({parts})"


def _samples(results: Sequence[Kubernetes]) -> str:
    lines = []
    for each in results:
        for what, samples in (("creations", each.changes), ("moves", each.endpoints)):
            values = " ".join(f"{sample:.1f}" for sample in samples)
            lines.append(f"- {each.routes:,} routes, {what}: {values}")
    return "\nEvery sample, in ms and in order:\n\n" + "\n".join(lines) + "\n"


def statuses(results: Sequence[Reads]) -> str:
    """(f), first part"""
    rows = [
        (
            f"{each.routes:,}",
            *(
                f"{value:.1f}"
                for value in (
                    each.nothing,
                    each.one_route,
                    each.node_step,
                    each.node_comes,
                    each.all_nodes_go,
                )
            ),
        )
        for each in results
    ]
    header = ("routes", "nothing", "one route", "a node's step", "a node comes", "all nodes go")
    return (
        "\n## (f) Statuses\n\n"
        "How long the event loop runs nothing else while all statuses are read, after that changed\n"
        "(without a cluster; the longest of 20, in ms; every route has its own upstream; no goal):\n\n"
        + table(header, rows)
    )


def floods(results: Sequence[Flood]) -> str:
    """(f), second part"""
    rows = [
        (
            f"{each.objects:,}",
            f"{each.concurrency}",
            f"{each.rate:.0f}",
            f"{each.requests:.2f}",
            *_middle_and_most(each.single_ms),
            f"{each.stall_ms:.1f}",
            f"{each.cpu_ms:.2f}",
        )
        for each in results
    ]
    header = (
        *("objects", "at a time", "statuses a second", "requests each"),
        *("one more, ms (median)", "(max)", "longest stall ms", "CPU ms each"),
    )
    return (
        "\nA new status for every object at once, by a real API server, and every half second one for\n"
        "one object more, from its change until a reader sees it (no goal):\n\n"
        + table(header, rows)
    )


def _middle_and_most(samples: Sequence[float]) -> tuple[str, str]:
    if not samples:
        return "none", "none"
    return f"{statistics.median(samples):.0f}", f"{max(samples):.0f}"
