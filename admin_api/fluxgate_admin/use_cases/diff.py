"""Changes of documents for people: unified diffs of YAML."""

from __future__ import annotations

import difflib

import yaml

from fluxgate.api.canonical import canonical
from fluxgate.ports.resources import Document

_MISSING = "/dev/null"


def unified_diff(
    before: Document | None, after: Document | None, name: str, *, context: int = 3
) -> str:
    """What changes from ``before`` to ``after``, as ``diff -u`` says it; empty when nothing does.

    None is an object that is not there. Only what users write is compared (``canonical``), its fields in
    the order of the alphabet, so that equal documents never differ.
    """
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        _MISSING if before is None else f"a/{name}",
        _MISSING if after is None else f"b/{name}",
        n=context,
    )
    return "".join(lines)


def _lines(document: Document | None) -> list[str]:
    if document is None:
        return []
    text = yaml.safe_dump(canonical(document), allow_unicode=True, width=120, sort_keys=True)
    return text.splitlines(keepends=True)
