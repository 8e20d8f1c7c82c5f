"""The tables of ``results.md``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.chains import Chain
from bench.disabled_filters import GOAL as GOAL_DISABLED
from bench.disabled_filters import Disabled
from bench.edits import Edits
from bench.lookup import GOAL as LOOKUP_GOAL
from bench.lookup import Lookup
from bench.pipeline import GOAL_FULL, GOAL_KEY, Cost
from bench.propagation import GOALS_MS, Propagation


def heading(*, machine: str, command: str) -> str:
    """What was run where."""
    return (
        "# Benchmark results\n\n"
        f"Made by `{command}` on {machine}. Ratios come from runs that alternate on one machine;\n"
        "CPU is Envoy's own user and system time, with one worker. Absolute figures depend on the\n"
        "machine and on what else it is doing.\n"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def verdict(value: float, goal: float, unit: str = "") -> str:
    """Whether a goal was reached, and by how much it was missed."""
    if value <= goal:
        return f"reached (≤ {goal:g}{unit})"
    return f"**missed** by {value - goal:.2f}{unit} (≤ {goal:g}{unit})"


def lookup(results: Sequence[Lookup]) -> str:
    """(a)"""
    rows = [
        (
            f"{each.routes:,}",
            each.encoding,
            f"{each.first.cpu_us_per_request:.1f}",
            f"{each.last.cpu_us_per_request:.1f}",
            f"{each.first.rps:,.0f}",
            f"{each.last.rps:,.0f}",
            f"{each.ratio:.2f}",
            verdict(each.ratio, LOOKUP_GOAL) if each.encoding == "FluxGate" else "",
        )
        for each in results
    ]
    header = (
        "routes",
        "table",
        "first µs",
        "last µs",
        "first rps",
        "last rps",
        "last/first",
        "goal",
    )
    return "\n## (a) Last route against first\n\n" + table(header, rows)


def pipeline(results: Sequence[Cost]) -> str:
    """(b)"""
    goals = {"key": GOAL_KEY, "full: CORS, key, limit, access log": GOAL_FULL}
    rows = [
        (
            each.variant,
            f"{each.cpu_us:.1f}",
            f"{each.ratio:.2f}",
            f"{each.rps:,.0f}",
            f"{each.p99_ms:.2f}",
            f"{each.failed}",
            verdict(each.ratio, goals[each.variant]) if each.variant in goals else "",
        )
        for each in results
    ]
    header = ("variant", "CPU µs a request", "times bare", "rps", "p99 ms", "failed", "goal")
    return "\n## (b) The pipeline against a bare Envoy\n\n" + table(header, rows)


def propagation(results: Sequence[Propagation]) -> str:
    """(c)"""
    rows = [
        (
            f"{each.routes:,}",
            each.upstreams,
            f"{len(each.samples_ms)}",
            f"{each.mean:.1f}",
            f"{each.quantile(0.5):.1f}",
            f"{each.quantile(0.99):.1f}",
            f"{max(each.samples_ms):.1f}",
            verdict(each.mean, GOALS_MS[each.routes], " ms") if each.routes in GOALS_MS else "",
        )
        for each in results
    ]
    header = ("routes", "upstreams", "samples", "mean ms", "p50", "p99", "max", "goal (mean)")
    samples = "\n".join(
        f"- {each.routes:,} routes, upstreams {each.upstreams}: "
        + " ".join(f"{sample:.1f}" for sample in each.samples_ms)
        for each in results
    )
    return (
        "\n## (c) From writing a route's file to the first 200 on its path\n\n"
        + table(header, rows)
        + "\nEvery sample, in ms and in order:\n\n"
        + samples
        + "\n"
    )


def edits(result: Edits) -> str:
    """(d)"""
    row = (
        f"{result.edits}",
        f"{result.requests:,}",
        f"{result.failed}",
        f"{result.rps:,.0f}",
        f"{result.p99_ms:.2f}",
        "reached (0)" if result.failed == 0 else f"**missed** by {result.failed}",
    )
    header = ("edits", "requests", "failed", "rps", "p99 ms", "goal")
    return "\n## (d) Failed requests during edits under load\n\n" + table(header, [row])


def disabled_filters(results: Sequence[Disabled]) -> str:
    """(j)"""
    rows = [
        (
            each.chain,
            f"{each.filters}",
            f"{each.cpu_us:.2f}",
            f"{each.ratio:.3f}",
            f"{each.least:.3f} to {each.greatest:.3f}",
            verdict(each.ratio, GOAL_DISABLED) if each.chain != "bare" else "",
        )
        for each in results
    ]
    header = ("chain", "filters off", "CPU µs a request", "times without them", "spread", "goal")
    return "\n## (j) Filters that no route turns on\n\n" + table(header, rows)


def chains(results: Sequence[Chain]) -> str:
    """(i)"""
    rows = [
        (
            each.chain,
            each.proxy,
            f"{each.cpu_us:.1f}",
            f"{each.ratio:.2f}",
            f"{each.rps:,.0f}",
            f"{each.p99_ms:.2f}",
            f"{each.p99_ratio:.2f}",
            f"{each.failed}",
        )
        for each in results
    ]
    header = (
        *("chain", "proxy", "CPU µs a request", "times bare", "rps"),
        *("p99 ms", "times bare", "failed"),
    )
    told = (
        "\nnginx compares the key by a map and limits by limit_req; open nginx knows no JWT. The\n"
        "CPU is the proxy's: the rate limit service and Redis come on top. A remembered token's\n"
        "signature is not checked again (cachedTokens). Access logs are off everywhere.\n"
    )
    return "\n## (i) Common chains of policies\n\n" + table(header, rows) + told
