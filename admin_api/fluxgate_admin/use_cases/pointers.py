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
    way counts. Behind it names are looked up in ``body``, which may spell them in snake_case. Without
    origins document and body are the same, but for ``base`` in front.
    """

    origins: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    base: str = ""

    def translate(self, found: str) -> str:
        """The pointer into the body for one into the document."""
        best = max((each for each in self.origins if _leads(each, found)), key=len, default=None)
        if best is None:
            return self.base + found
        here = at(self.body, start := self.origins[best])
        for part in found[len(best) :].split("/")[1:]:
            name = part if self.body is None else _spelled(part, here)
            here = at(here, f"/{name}")
            start = f"{start}/{name}"
        return self.base + start


def at(value: object, place: str) -> object:
    """What stands at a pointer; None for nothing."""
    for part in place.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _spelled(part: str, here: object) -> str:
    """The name as the body has it, else as it should have it."""
    if isinstance(here, Mapping) and part in here:
        return part
    return _CAPITAL.sub(lambda match: f"_{match[1].lower()}", part)


def _leads(start: str, found: str) -> bool:
    return found == start or found.startswith(f"{start}/")
