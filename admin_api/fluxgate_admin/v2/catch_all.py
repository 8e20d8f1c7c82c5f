"""A route for every request has to be asked for in words. Pure.

A patch that takes the last condition away (RFC 7396) and a body that forgot it look the same, and what they make
takes the requests of everybody who has no more specific route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.use_cases.pointers import pointer

REMEDY = (
    'name a path, a host or a header, or say that everything is meant: {"match": {"path": "/*"}}'
)
_NARROW = ("headers", "queryParams", "cookies", "credential")


def check_said(spec: Mapping[str, Any], match: object) -> None:
    """Raises ``UnprocessableError`` for a match of ``spec``, made of a body's ``match``, that takes everything unsaid.

    Methods alone do not count: every GET of every host is no less than an outage.
    """
    hosts = spec.get("hosts") or ()
    if hosts and "*" not in hosts:
        return
    made: Sequence[Mapping[str, Any]] = spec.get("matches") or ({},)
    places = [
        pointer("match", index) if isinstance(match, list) else "/match"
        for index, each in enumerate(made)
        if not _is_said(each)
    ]
    if not places:
        return
    message = f"takes every request on every host; {REMEDY}"
    problems = [
        {"pointer": place, "message": message, "reason": "Invalid", "source": "schema"}
        for place in places
    ]
    raise UnprocessableError(f"{places[0]}: {message}", problems, error="invalid")


def _is_said(match: Mapping[str, Any]) -> bool:
    path = match.get("path") or {}
    if "value" in path or path.get("type", "Prefix") != "Prefix":
        return True
    return any(match.get(name) for name in _NARROW)
