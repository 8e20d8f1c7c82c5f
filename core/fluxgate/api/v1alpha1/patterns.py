"""Checks of the small languages that appear in strings: regular expressions and templates."""

from __future__ import annotations

import re

from fluxgate import regex

MAX_REGEX_LENGTH = 1024
LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
"""Text without control characters: what may become part of a header, a path or a log line."""

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
TEMPLATE_PATTERN = rf"^(/([^{{}}/]*|[{{]{_NAME}(=[*])?[}}]))*(/[{{]{_NAME}=[*][*][}}])?$"
"""A path template; written without backslashes because it also becomes a CEL string."""

_TEMPLATE = re.compile(TEMPLATE_PATTERN)
_TEMPLATE_NAME = re.compile(rf"\{{({_NAME})")


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
    """``pattern`` itself; raises ``ValueError`` when RE2 refuses it.

    An expression that RE2 takes may still be too complex for Envoy, which has the last word.
    """
    if len(pattern) > MAX_REGEX_LENGTH:
        raise ValueError(
            f"the regular expression has {len(pattern)} characters; at most {MAX_REGEX_LENGTH} "
            "are allowed"
        )
    if not pattern:
        raise ValueError("an empty regular expression matches nothing but an empty value")
    try:
        regex.check(pattern)
    except ValueError as error:
        raise ValueError(f"{error}; see github.com/google/re2/wiki/Syntax") from None
    return pattern
