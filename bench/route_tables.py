"""What a route table costs to build, by its shape: ``python -m bench.route_tables``.

CPU time of ``build_route_configuration`` alone, for some 10,000 routes on one host: the whole
table, its size and buckets, and 40 edits that replace one route each, with Python's garbage
collector on. The last column is a SHA-256 over the finished bytes, which is part of every edit.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from fluxgate.ir import (
    Forward,
    HTTPRoute,
    PathKind,
    PathMatch,
    RetryPolicy,
    RouteMatch,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.buckets import BucketLimits, Entry, anchor_of, lay_out
from fluxgate.routing.precedence import route_sort_key
from fluxgate.xds.route_table import RouteTableCache, build_route_configuration

EDITS = 40
Paths = list[tuple[PathKind, str]]
T = TypeVar("T")


def prefixes(spell: Callable[[int], str], count: int = 10_000) -> Paths:
    return [(PathKind.PREFIX, spell(number)) for number in range(count)]


def templates(spell: Callable[[int], str]) -> Paths:
    return [(PathKind.TEMPLATE, spell(number)) for number in range(10_000)]


def digits(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:16]


SHAPES: dict[str, Paths] = {
    "`/api/v1/svcN`": prefixes(lambda n: f"/api/v1/svc{n}"),
    "`/t/<16 hex digits>`": prefixes(lambda n: f"/t/{digits(n)}"),
    "`/orgA/prjB/fnC` + 100 `/orgA`": prefixes(lambda n: f"/org{n % 100}/prj{n // 100 % 10}/fn{n}")
    + prefixes(lambda n: f"/org{n}", 100),
    "`/svcA/{id}/xN`": templates(lambda n: f"/svc{n % 500}/{{id}}/x{n}"),
    "`/users/{id}/xN`": templates(lambda n: f"/users/{{id}}/x{n}"),
    "500 nested `/a/a/a…` + 9,500 others": prefixes(lambda n: "/a" * (n + 1), 500)
    + prefixes(lambda n: f"/other/{n}", 9_500),
    "1,000 `.*/xN` + 10,000 `/api/v1/svcN`": [
        *((PathKind.REGEX, f".*/x{number}") for number in range(1_000)),
        *prefixes(lambda n: f"/api/v1/svc{n}"),
    ],
}


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and the milliseconds of CPU it took."""
    start = time.process_time()
    result = work()
    return result, (time.process_time() - start) * 1000


def routes(paths: Paths) -> list[HTTPRoute]:
    """Routes in order of precedence."""
    action = Forward((WeightedCluster("up", 1),), retry=RetryPolicy(2, ("connect-failure",)))
    made = [
        HTTPRoute(
            name=f"route/default/r{number}/0",
            origin=ObjectRef("Route", "default", f"r{number}"),
            match=RouteMatch(PathMatch(kind, path)),
            action=action,
            created="2026-01-01T00:00:00Z",
        )
        for number, (kind, path) in enumerate(paths)
    ]
    return sorted(made, key=lambda route: route_sort_key("*", route))


def measure(paths: Paths) -> str:
    """The cells of one row."""
    ordered, cache = routes(paths), RouteTableCache()

    def build() -> bytes:
        table = RouteTable("main", (VirtualHost("*", tuple(ordered)),))
        return build_route_configuration(table, (), (), cache).payload

    payload, full = timed(build)
    edits = []
    for number in range(EDITS):
        index = number * (len(ordered) // EDITS)
        changed = replace(ordered[index].action, timeout_ms=7_000)
        ordered[index] = replace(ordered[index], action=changed)
        edits.append(timed(build)[1])
    digest = timed(lambda: hashlib.sha256(payload).hexdigest())[1]
    entries = sorted((Entry.of(route) for route in ordered), key=anchor_of)
    sizes = [len(node.bucket or ()) for node in lay_out(entries, BucketLimits()).walk()]
    return (
        f"{full / 1000:.2f} s | {len(payload) / 1e6:.1f} MB | {len(sizes):,}, {max(sizes):,} | "
        f"{statistics.fmean(edits):.1f} ms | {max(edits):.1f} ms | {digest:.1f} ms"
    )


def main() -> None:
    print("| table | full build | size | buckets, largest | one edit, mean | max | its hash |")
    print("|---|---|---|---|---|---|---|")
    for name, paths in SHAPES.items():
        print(f"| {name} | {measure(paths)} |", flush=True)


if __name__ == "__main__":
    main()
