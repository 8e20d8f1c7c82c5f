"""Checks of the small languages that appear in strings: regular expressions and templates."""

from __future__ import annotations

import re
import warnings

MAX_REGEX_LENGTH = 1024
MAX_REPEAT = 1000
"""RE2's own bound for ``{n}`` and ``{n,m}``."""

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
TEMPLATE_PATTERN = rf"^(/([^{{}}/]*|[{{]{_NAME}(=[*])?[}}]))*(/[{{]{_NAME}=[*][*][}}])?$"
"""A path template; written without backslashes because it also becomes a CEL string."""

_TEMPLATE = re.compile(TEMPLATE_PATTERN)
_TEMPLATE_NAME = re.compile(rf"\{{({_NAME})")

_LOOKAROUND = re.compile(r"\(\?(?:=|!|<=|<!)")
_NOT_IN_RE2 = (
    (_LOOKAROUND, "lookahead and lookbehind, (?= (?! (?<= (?<!"),
    (re.compile(r"\(\?P=|\\[1-9]|\\k<"), "backreferences"),
    (re.compile(r"\(\?>|[*+?}]\+"), "atomic groups and possessive quantifiers"),
    (re.compile(r"\(\?\(|\(\?#|\(\?R\)"), "conditionals, comments and recursion"),
)
_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{\^?\w+\}|\w)|Q.*?(?:\\E|$)|x\{[0-9A-Fa-f]+\}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_FLAGS = re.compile(r"\(\?[imsU-]+([:)])")
_NAMED = re.compile(r"\(\?P?<[A-Za-z_]\w*>")


def check_template(template: str) -> str:
    """``template`` itself; raises ``ValueError`` unless ``{name}`` stands for whole segments."""
    if not _TEMPLATE.match(template):
        raise ValueError(
            f"{template!r} is not a path template; {{name}} stands for a whole segment, "
            "{name=**} for the rest at the end: /users/{id}/files/{path=**}"
        )
    names = _TEMPLATE_NAME.findall(template)
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{template!r} names {{{name}}} twice; give every segment its own name"
            )
    return template


def check_regex(pattern: str) -> str:
    r"""``pattern`` itself; raises ``ValueError`` when RE2 would surely refuse it.

    Python's ``re`` is not RE2, so what only RE2 knows (``\pL``, ``\z``, ``[[:alpha:]]``)
    is replaced before Python's parser looks at the structure. Envoy has the last word.
    """
    if len(pattern) > MAX_REGEX_LENGTH:
        raise ValueError(
            f"the regular expression has {len(pattern)} characters; at most {MAX_REGEX_LENGTH} "
            "are allowed"
        )
    without_classes = _without_classes(pattern)
    for forbidden, what in _NOT_IN_RE2:
        if forbidden.search(without_classes):
            raise ValueError(
                f"RE2 has no {what}; write the expression without them, or split the match in two"
            )
    for low, high in _REPEAT.findall(_ESCAPE.sub(".", without_classes)):
        if max(int(low), int(high or 0)) > MAX_REPEAT:
            raise ValueError(f"RE2 repeats at most {MAX_REPEAT} times; shorten {{{low},{high}}}")
    _compile(pattern)
    return pattern


def _without_classes(pattern: str) -> str:
    """``pattern`` with classes and harmless escapes replaced by a letter.

    Digit escapes stay: outside a class they are backreferences.
    """
    kept: list[str] = []
    position = 0
    while position < len(pattern):
        escape = _ESCAPE.match(pattern, position)
        char_class = _CLASS.match(pattern, position)
        if escape:
            text = escape[0]
            kept.append(text if text[1:2] in "123456789k" else "a")
            position = escape.end()
        elif char_class:
            kept.append("a")
            position = char_class.end()
        else:
            kept.append(pattern[position])
            position += 1
    return "".join(kept)


def _compile(pattern: str) -> None:
    python = _ESCAPE.sub(_as_python_escape, pattern)
    python = re.sub(r"\[:\^?\w+:\]", "a-z", python)
    python = _FLAGS.sub(lambda found: "(?:" if found[1] == ":" else "", python)
    python = _NAMED.sub("(", python)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(python)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{pattern!r} is not a regular expression ({error}); see github.com/google/re2/wiki/Syntax"
        ) from None


def _as_python_escape(found: re.Match[str]) -> str:
    escape = found[0]
    if escape[1] in "pPCQ" or escape.startswith("\\x{"):
        return "a"
    return {"\\z": r"\Z", "\\a": "a", "\\v": "a"}.get(escape, escape)
