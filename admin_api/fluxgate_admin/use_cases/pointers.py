"""JSON pointers (RFC 6901): where in a body the thing stands that a problem is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_INDEX = re.compile(r"\[(\d+)\]")
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


def pointer(*parts: str | int) -> str:
    """``/a/0/b~1c`` of ``a``, 0 and ``b/c``."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def pointer_of_path(path: str, document: object) -> str:
    """The pointer of a path as problems of a field have it (``spec.matches[0].path.value``).

    A key may hold dots (an annotation's does), so keys that ``document`` has come before shorter ones.
    """
    parts: list[str | int] = []
    here: object = document
    rest = path
    while rest:
        if match := _INDEX.match(rest):
            index = int(match[1])
            parts.append(index)
            here = here[index] if isinstance(here, list) and index < len(here) else None
            rest = rest[match.end() :].removeprefix(".")
            continue
        key = _key(rest, here)
        parts.append(key)
        here = here.get(key) if isinstance(here, Mapping) else None
        rest = rest[len(key) :].removeprefix(".")
    return pointer(*parts)


def _key(rest: str, here: object) -> str:
    known = here if isinstance(here, Mapping) else {}
    whole = [
        key
        for key in known
        if isinstance(key, str)
        and key
        and rest.startswith(key)
        and rest[len(key) : len(key) + 1] in ("", ".", "[")
    ]
    if whole:
        return max(whole, key=len)
    ends = [end for mark in ".[" if (end := rest.find(mark)) > 0]
    return rest[: min(ends, default=len(rest))]


@dataclass(frozen=True, slots=True)
class Pointers:
    """Where the parts of a document come from in the body of a request.

    ``origins`` holds pointers into the document and what they are in the body; the longest that leads the
    way counts. What has no origin is below ``base``, in the body's own spelling if it is ``spelled`` otherwise.
    """

    origins: Mapping[str, str] = field(default_factory=dict)
    base: str = ""
    snake_below: str = ""
    """Below this pointer of the document, names stand at ``base`` of the body in snake_case."""

    def translate(self, found: str) -> str:
        """The pointer into the body for one into the document."""
        best = max((each for each in self.origins if _leads(each, found)), key=len, default=None)
        if best is not None:
            return self.origins[best] + found[len(best) :]
        if self.snake_below and _leads(self.snake_below, found):
            return self.base + _snake(found[len(self.snake_below) :])
        return self.base + found


def _leads(start: str, found: str) -> bool:
    return found == start or found.startswith(f"{start}/")


def _snake(text: str) -> str:
    return _CAPITAL.sub(lambda match: f"_{match[1].lower()}", text)
