"""Run the benchmarks and write ``bench/results.md``.

python -m bench             everything, as in results.md (about 20 minutes)
python -m bench --quick     smaller tables and shorter runs, printed only
python -m bench lookup …    only the named parts: lookup pipeline propagation edits
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path

from bench import edits, lookup, pipeline, propagation, report
from bench.harness import BenchError

PARTS = ("lookup", "pipeline", "propagation", "edits")


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
        for part in arguments.parts or PARTS:
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
    if part == "propagation":
        tables = (100, 1_000) if quick else (100, 3_000, 10_000)
        samples = 20 if quick else 100
        shared = propagation.run(tables, samples=samples, own_upstream=False)
        return report.propagation(
            shared + propagation.run(tables, samples=samples, own_upstream=True)
        )
    return report.edits(edits.run(edits=40 if quick else 200, table=100 if quick else 1_000))


if __name__ == "__main__":
    sys.exit(main())
