"""Paths as bodies write them: one text instead of type and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxgate_admin.errors import UnprocessableError


def read_path(text: str, place: str) -> dict[str, str]:
    """The match of ``/a/*`` (``/a`` and everything below), ``/a`` (only that), ``/a/{id}`` (a template).

    Raises ``UnprocessableError`` for a star elsewhere than behind the last slash.
    """
    if text.endswith("/*") and "*" not in text[:-1] and "{" not in text:
        return {"type": "Prefix", "value": text[:-1]}
    if "{" in text:
        return {"type": "Template", "value": text}
    if "*" in text:
        raise _misplaced(place)
    return {"type": "Exact", "value": text}


def shown_path(path: Mapping[str, Any]) -> str | dict[str, Any]:
    """The text that :func:`read_path` reads as ``path``; type and value where there is none."""
    kind, value = path.get("type", "Prefix"), str(path.get("value", "/"))
    plain = "*" not in value and "{" not in value
    if kind == "Prefix" and plain and value.endswith("/"):
        return f"{value}*"
    if (kind == "Exact" and plain) or (kind == "Template" and "{" in value):
        return value
    return {"type": kind, "value": value}


def _misplaced(place: str) -> UnprocessableError:
    message = (
        "a star stands only at the end, behind a slash (/orders/*); write {name} for one segment, "
        'or {"type": "Regex", "value": …}'
    )
    problem = {"pointer": place, "message": message, "reason": "Invalid", "source": "schema"}
    return UnprocessableError(f"{place}: {message}", [problem], error="invalid")
