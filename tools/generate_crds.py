"""Write crds/*.yaml (for the chart, too) and docs/reference/kinds.md from the models, or check that they are current.

python tools/generate_crds.py            write
python tools/generate_crds.py --check    exit 1 and name the files that differ
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

from fluxgate.api.crd import build_crds
from fluxgate.api.reference import render_reference

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = (Path("crds"), Path("charts/fluxgate/crds"))
"""Both hold the same; Helm takes its own from inside the chart."""
HEADER = "# Generated from core/fluxgate/api by `make generate`; do not edit.\n"


class _Dumper(yaml.SafeDumper):
    """Writes shared objects out in full: YAML anchors confuse people and some tools."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def expected_files() -> dict[Path, str]:
    """Every generated file's path below the root, and its text."""
    files = {Path("docs/reference/kinds.md"): render_reference()}
    for name, crd in build_crds().items():
        text = yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=100)
        files |= {folder / f"{name}.yaml": HEADER + text for folder in FOLDERS}
    return files


def differences(root: Path) -> list[Path]:
    """Files below ``root`` that are missing, differ, or should not be there."""
    expected = expected_files()
    wrong = [
        path
        for path, text in expected.items()
        if not (root / path).is_file() or (root / path).read_text() != text
    ]
    stale = [
        path.relative_to(root) for folder in FOLDERS for path in (root / folder).glob("*.yaml")
    ]
    return sorted({*wrong, *(path for path in stale if path not in expected)})


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--check", action="store_true", help="change nothing, exit 1 if they differ"
    )
    arguments = parser.parse_args()
    changed = differences(ROOT)
    for path in changed:
        sys.stdout.write(f"{'differs' if arguments.check else 'written'}: {path}\n")
    if arguments.check:
        return 1 if changed else 0
    expected = expected_files()
    for path in changed:
        target = ROOT / path
        if path in expected:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(expected[path])
        else:
            target.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
