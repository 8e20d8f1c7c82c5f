"""The Markdown pages of the repository, and the YAML they show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDE = DOCS / "guide" / "kubernetes.md"
PAGES = tuple(sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")]))

VALUES = "# values.yaml"
"""How a block begins that is a values file of the chart."""

_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def yaml_blocks(page: Path) -> list[tuple[int, str]]:
    """Line and text of every YAML block."""
    text = page.read_text()
    return [(text.count("\n", 0, found.start()) + 1, found[1]) for found in _BLOCK.finditer(text)]


def values_files(page: Path) -> list[tuple[int, str]]:
    """Line and text of every block that is a values file."""
    return [(line, text) for line, text in yaml_blocks(page) if text.startswith(VALUES)]
