"""Paths of OpenAPI as matches of a Route. Pure."""

from __future__ import annotations

import re
from typing import Any

_SEGMENT = re.compile(r"\{[^{}/]+\}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_NOT_IN_SLUGS = re.compile(r"[^a-z0-9]+")
_LONGEST = 63


def path_match(path: str) -> dict[str, Any]:
    """The match of a path: exact, a template, or a regular expression where a variable is part of a segment."""
    segments = path.split("/")
    if "{" not in path:
        return {"type": "Exact", "value": path}
    if all("{" not in each or _SEGMENT.fullmatch(each) for each in segments):
        return {"type": "Template", "value": "/".join(_named(segments))}
    return {"type": "Regex", "value": "/".join(map(_pattern, segments))}


def joined(base: str, path: str) -> str:
    """A path below the path of a server."""
    return base.rstrip("/") + "/" + path.lstrip("/")


def slug(text: str, fallback: str = "api") -> str:
    """``text`` as a name of an object."""
    found = _NOT_IN_SLUGS.sub("-", text.lower()).strip("-")
    return found[:_LONGEST].strip("-") or fallback


def _named(segments: list[str]) -> list[str]:
    """Variables by names a template may have, each of them once."""
    seen: set[str] = set()
    made = []
    for each in segments:
        if not each.startswith("{"):
            made.append(each)
            continue
        name = _NOT_IN_NAMES.sub("_", each[1:-1])
        name = name if name[0].isalpha() or name[0] == "_" else f"_{name}"
        while name in seen:
            name += "_"
        seen.add(name)
        made.append(f"{{{name}}}")
    return made


def _pattern(segment: str) -> str:
    parts = re.split(r"(\{[^{}/]+\})", segment)
    return "".join("[^/]+" if each.startswith("{") else re.escape(each) for each in parts)
