"""Path patterns: templates, prefixes on segment boundaries, and their literal beginnings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from fluxgate.ir import PathKind, PathMatch

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)(=\*\*|=\*)?\}")
_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_REPEATS_ZERO = frozenset("*?{")
_PLAIN_ESCAPE = re.compile(r"[^A-Za-z0-9]")


class SegmentKind(IntEnum):
    """What a segment of a template takes, the most specific first."""

    LITERAL = 0
    PARAMETER = 1
    REST = 2


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a template: its text, or the name of its parameter."""

    kind: SegmentKind
    text: str


@lru_cache(maxsize=32_768)
def parse_template(template: str) -> tuple[Segment, ...]:
    """The segments of ``/users/{id}/files/{path=**}``.

    ``{name}`` (or ``{name=*}``) takes one segment that is not empty;
    ``{name=**}``, only at the end, takes what remains after its slash, which may
    be nothing: ``/files/{path=**}`` matches ``/files/`` and not ``/files``.
    Raises ``ValueError`` with what is wrong and what would be right.
    """
    if not template.startswith("/"):
        raise ValueError(f"{template!r} must start with /")
    parts = template[1:].split("/")
    segments = tuple(_parse_segment(part, template) for part in parts)
    if any(each.kind is SegmentKind.REST for each in segments[:-1]):
        raise ValueError(f"{template!r}: a {{name=**}} is only possible at the end")
    names = [each.text for each in segments if each.kind is not SegmentKind.LITERAL]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{template!r} names the parameter {duplicates[0]!r} twice")
    return segments


def _parse_segment(part: str, template: str) -> Segment:
    if "{" not in part and "}" not in part:
        return Segment(SegmentKind.LITERAL, part)
    match = _PARAMETER.fullmatch(part)
    if match is None:
        raise ValueError(
            f"{template!r}: {part!r} is not a parameter; write {{name}} as a whole segment, "
            "or {name=**} as the last one"
        )
    kind = SegmentKind.REST if match[2] == "=**" else SegmentKind.PARAMETER
    return Segment(kind, match[1])


def template_regex(template: str) -> str:
    """The RE2 expression that matches the same whole paths as ``template``."""
    pieces = {SegmentKind.PARAMETER: "[^/]+", SegmentKind.REST: ".*"}
    return "".join(
        "/" + (pieces.get(each.kind) or re.escape(each.text)) for each in parse_template(template)
    )


def normalise_prefix(prefix: str) -> str:
    """``/a/`` means ``/a``, as in the Gateway API; the root stays ``/``."""
    return prefix.rstrip("/") or "/"


def prefix_matches(prefix: str, path: str) -> bool:
    """Whether ``path`` is ``prefix`` or lies below it, compared by whole segments."""
    prefix = normalise_prefix(prefix)
    if prefix == "/":
        return path.startswith("/")
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/")


def literal_prefix(match: PathMatch) -> str:
    """The longest string known to begin every path that ``match`` takes.

    For a regular expression only the plain characters before the first special
    one count, and none at all when there is an alternative outside parentheses. What
    follows a ``?`` or ``#`` is cut off: no path holds one.
    """
    match match.kind:
        case PathKind.EXACT:
            literal = match.value
        case PathKind.PREFIX:
            literal = normalise_prefix(match.value)
        case PathKind.TEMPLATE:
            literal = _template_literal(match.value)
        case PathKind.REGEX:
            literal = _regex_literal(match.value)
    return literal.partition("?")[0].partition("#")[0]


def may_match_below(match: PathMatch, literal: str, start: str) -> bool:
    """Whether ``match`` could take a path that begins with ``start``.

    ``literal`` is :func:`literal_prefix` of the match and a prefix of ``start``. May
    err on the side of yes.
    """
    if literal == start:
        return True
    match match.kind:
        case PathKind.EXACT:
            return False
        case PathKind.PREFIX:
            return literal == "/" or start[len(literal)] == "/"
        case PathKind.TEMPLATE:
            return _template_may_match(parse_template(match.value), start[1:].split("/"))
        case PathKind.REGEX:
            return True


def _template_may_match(segments: tuple[Segment, ...], parts: list[str]) -> bool:
    *whole, partial = parts
    for index, part in enumerate(whole):
        if index == len(segments):
            return False
        segment = segments[index]
        if segment.kind is SegmentKind.REST:
            return True
        if part != segment.text if segment.kind is SegmentKind.LITERAL else not part:
            return False
    if len(whole) == len(segments):
        return False
    last = segments[len(whole)]
    return last.kind is not SegmentKind.LITERAL or last.text.startswith(partial)


def _template_literal(template: str) -> str:
    literal = ""
    for each in parse_template(template):
        literal += "/"
        if each.kind is not SegmentKind.LITERAL:
            break
        literal += each.text
    return literal


def _regex_literal(pattern: str) -> str:
    if _may_have_alternatives(pattern):
        return ""
    literal: list[str] = []
    position = 1 if pattern.startswith("^") else 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\" and _PLAIN_ESCAPE.match(pattern, position + 1):
            character = pattern[position + 1]
            position += 1
        elif character in _SPECIAL:
            if character in _REPEATS_ZERO and literal:
                literal.pop()
            break
        literal.append(character)
        position += 1
    return "".join(literal)


def _may_have_alternatives(pattern: str) -> bool:
    """Whether a ``|`` may stand outside all parentheses; yes when a class makes that unclear."""
    if "|" not in pattern:
        return False
    if "[" in pattern or "\\Q" in pattern:
        return True
    depth = 0
    escaped = False
    for character in pattern:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "|" and depth == 0:
            return True
        else:
            depth += (character == "(") - (character == ")")
    return False
