"""JSON pointers (RFC 6901) into a document, from how problems name their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_STEP = re.compile(r"[^.\[\]]+|\[\d+\]")
_PATH = re.compile(r"^((?:[A-Za-z][\w-]*)(?:[.\[][^:;\s]*)?): ")
_NEXT = re.compile(r"; (?=(?:spec|config|metadata)[.:\[])")
_LEAST = 3
"""A value shorter than that stands in any text by chance."""


def pointer_of(path: str, document: Mapping[str, Any]) -> str:
    """The pointer of a JSON path such as ``spec.matches[0].path.value``.

    Keys may hold dots (labels do): where the document has the key it counts as one. What is not
    there (a field that is missing) is read step by step; ``[key]``, which marks a key instead of
    its value, is left out.
    """
    steps: list[str] = []
    here: object = document
    rest = path.replace(".[key]", "")
    while rest:
        step, rest = _next_step(here, rest)
        steps.append(step)
        here = _child(here, step)
    return "".join(f"/{step.replace('~', '~0').replace('/', '~1')}" for step in steps)


def _next_step(here: object, rest: str) -> tuple[str, str]:
    if isinstance(here, Mapping):
        known = (
            key
            for key in sorted(here, key=len, reverse=True)
            if rest.startswith(key) and rest[len(key) : len(key) + 1] in ("", ".", "[")
        )
        if (key := next(known, None)) is not None:
            return key, rest[len(key) :].removeprefix(".")
    found = _STEP.match(rest)
    if found is None:
        return rest, ""
    return found[0].strip("[]"), rest[found.end() :].removeprefix(".")


def _child(here: object, step: str) -> object:
    if isinstance(here, Mapping):
        return here.get(step)
    if isinstance(here, list | tuple) and step.isdigit() and int(step) < len(here):
        return here[int(step)]
    return None


def messages_of(text: str) -> list[str]:
    """The single messages of a condition, which joins what was found."""
    return _NEXT.split(text)


def pointer_in(message: str, document: Mapping[str, Any]) -> str:
    """Where a message of the translator points; empty when it names no field.

    A path without ``spec`` in front is meant below it.
    """
    found = _PATH.match(message)
    if found is None:
        return ""
    path = found[1]
    if path.partition(".")[0].partition("[")[0] in ("spec", "metadata"):
        return pointer_of(path, document)
    spec = document.get("spec")
    first = path.partition(".")[0].partition("[")[0]
    if isinstance(spec, Mapping) and first in spec:
        return pointer_of(f"spec.{path}", document)
    return ""


def quoted_in(words: str, document: Mapping[str, Any]) -> str:
    """The pointer of the value that Envoy's words quote: the longest one; empty for none."""
    found = [
        (len(text), pointer)
        for pointer, text in _texts(document.get("spec"), "/spec")
        if len(text) >= _LEAST and text in words
    ]
    return max(found)[1] if found else ""


def _texts(value: object, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            step = str(key).replace("~", "~0").replace("/", "~1")
            yield from _texts(each, f"{pointer}/{step}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _texts(each, f"{pointer}/{index}")
