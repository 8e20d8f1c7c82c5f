"""Run the benchmarks and write ``bench/results.md``.

python -m bench             everything, as in results.md (about 30 minutes)
python -m bench --quick     smaller tables and shorter runs, printed only
python -m bench lookup …    only the named parts: lookup pipeline propagation edits
                            chains (nginx, redis-server, `make tools`)
                            admin
                            kubernetes statuses (a real API server: `make tools`)
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from bench import (
    admin,
    applying,
    chains,
    disabled_filters,
    edits,
    kubernetes,
    lookup,
    pipeline,
    propagation,
    report,
    report_kubernetes,
    statuses,
    statuses_cluster,
)
from bench.cluster import require_tools
from bench.harness import BenchError, require
from bench.limiter import require_limiter

PARTS = ("lookup", "pipeline", "chains", "propagation", "edits", "admin", "kubernetes", "statuses")


def main() -> int:
    """Run the parts that were asked for; print each table as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", default=[], metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a few minutes, not written to a file")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("results.md"))
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sections = [_heading(quick=arguments.quick)]
    try:
        parts = arguments.parts or PARTS
        if {"kubernetes", "statuses"} & set(parts):
            require_tools()  # now, and not after twenty minutes
        if "chains" in parts:
            require("nginx", "nginx")
            require_limiter()
        for part in parts:
            print(f"… {part}", file=sys.stderr, flush=True)
            sections.append(_section(part, quick=arguments.quick))
            print(sections[-1], flush=True)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not arguments.quick and not arguments.parts:
        arguments.output.write_text("\n".join(sections))
    return 0


def _heading(*, quick: bool) -> str:
    return report.heading(
        machine=f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        command="python -m bench --quick" if quick else "make bench",
    )


def _section(part: str, *, quick: bool) -> str:
    sizes = (10, 1_000) if quick else (10, 1_000, 10_000)
    if part == "lookup":
        return report.lookup(lookup.run(sizes, seconds=2 if quick else 4, rounds=3 if quick else 5))
    if part == "pipeline":
        return report.pipeline(pipeline.run(seconds=2 if quick else 4, rounds=3 if quick else 7))
    if part == "chains":
        seconds, rounds = (2, 3) if quick else (4, 7)
        return report.chains(chains.run(seconds=seconds, rounds=rounds)) + report.disabled_filters(
            disabled_filters.run(seconds=seconds, rounds=rounds)
        )
    if part == "propagation":
        tables = (100, 1_000) if quick else (100, 3_000, 10_000)
        samples = 20 if quick else 100
        shared = propagation.run(tables, samples=samples, own_upstream=False)
        return report.propagation(
            shared + propagation.run(tables, samples=samples, own_upstream=True)
        )
    if part == "edits":
        return report.edits(edits.run(edits=40 if quick else 200, table=100 if quick else 1_000))
    if part == "admin":
        sizes = (100, 1_000) if quick else admin.SIZES
        asked = admin.run(sizes, samples=20 if quick else 100, walks=1 if quick else 3)
        applied = admin.run_apply((1_000,) if quick else (applying.ROUTES,))
        return admin.report(asked) + applying.report(applied)
    return _kubernetes(quick=quick) if part == "kubernetes" else _statuses(quick=quick)


def _kubernetes(*, quick: bool) -> str:
    plan = kubernetes.Plan(10, 3, 5.0, 5.0) if quick else kubernetes.Plan()
    return report_kubernetes.kubernetes(
        kubernetes.run((100, 1_000) if quick else kubernetes.SIZES, plan)
    )


def _statuses(*, quick: bool) -> str:
    sizes = (1_000,) if quick else statuses.SIZES
    floods = statuses_cluster.run(1_000 if quick else 5_000, (8, 16) if quick else (8, 16, 32))
    return report_kubernetes.statuses(statuses.run(sizes)) + report_kubernetes.floods(floods)


if __name__ == "__main__":
    sys.exit(main())
