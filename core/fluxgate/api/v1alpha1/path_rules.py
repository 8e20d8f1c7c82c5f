"""What the path of a match may be: what some request can have once the listener has normalised it.

:mod:`fluxgate.routing.normalise` says what a request's path becomes before it is compared. A path
that is not so itself is compared for nothing: the route would be there, and never answer. Patterns are
written without backslashes because they also become CEL strings.
"""

from __future__ import annotations

import re
from typing import Any

from fluxgate.api.v1alpha1.patterns import TEMPLATE_PATTERN
from fluxgate.api.v1alpha1.rules import Rule

_TEMPLATE = re.compile(TEMPLATE_PATTERN)

_CHARACTERS = "^[]!#-;=?-[_a-z{}~]*$"
"""Those that arrive as they are, and ``?``, ``#``, ``{`` and ``}``, of which other rules say more."""
_ESCAPES = (
    "%(2[dDeEfF]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[cCfF]|7[eE]|00)"  # unreserved, and / \ NUL
)
_DOTS = "/[.][.]?(/|;|$)"
_SLASHES_INSIDE = "//+[^/]"
_SLASHES_ALONE = "^//([{][^{}/]*=[*][*][}])?$"
"""A request for nothing but slashes is one for ``//``."""

_NEVER = "no request has such a path when it is compared"


def _literal(self: Any) -> bool:  # noqa: ANN401 - a PathMatch, which this module is imported by
    return self.type in ("Exact", "Prefix", "Template")


def _slashes(self: Any) -> bool:  # noqa: ANN401 - as above
    if self.type == "Prefix":
        return re.search(_SLASHES_INSIDE, self.value) is None
    return "//" not in self.value or re.search(_SLASHES_ALONE, self.value) is not None


PATH_RULES: tuple[Rule, ...] = (
    Rule(
        "value",
        "must start with /",
        "self.type == 'Regex' || self.value.startsWith('/')",
        lambda self: self.type == "Regex" or self.value.startswith("/"),
    ),
    Rule(
        "value",
        "a template has {name} as a whole segment and {name=**} only at the end: "
        "/users/{id}/files/{path=**}",
        f"self.type != 'Template' || self.value.matches('{TEMPLATE_PATTERN}')",
        lambda self: self.type != "Template" or _TEMPLATE.match(self.value) is not None,
    ),
    Rule(
        "value",
        "must not hold ? or #: the path ends before them; match a query with queryParams",
        "self.type == 'Regex' || !(self.value.contains('?') || self.value.contains('#'))",
        lambda self: self.type == "Regex" or not ("?" in self.value or "#" in self.value),
    ),
    Rule(
        "value",
        "{name} stands for a segment in a path of type Template; the characters themselves are "
        "written %7B and %7D",
        "!(self.type in ['Exact', 'Prefix']) "
        "|| !(self.value.contains('{') || self.value.contains('}'))",
        lambda self: (
            self.type not in ("Exact", "Prefix") or not ("{" in self.value or "}" in self.value)
        ),
    ),
    Rule(
        "value",
        f"{_NEVER}; percent-encode what stands for itself in no path (RFC 3986): "
        "/caf%C3%A9 for an accent, /a%20b for a blank",
        f"self.type == 'Regex' || self.value.matches('{_CHARACTERS}')",
        lambda self: not _literal(self) or re.search(_CHARACTERS, self.value) is not None,
    ),
    Rule(
        "value",
        f"{_NEVER}: letters, digits and - . _ ~ are decoded before, and requests with %2F, %5C or "
        "%00 are refused; write A for %41",
        f"self.type == 'Regex' || !self.value.matches('{_ESCAPES}')",
        lambda self: not _literal(self) or re.search(_ESCAPES, self.value) is None,
    ),
    Rule(
        "value",
        f"{_NEVER}: . and .. are resolved before; write the path without them",
        f"self.type == 'Regex' || !self.value.matches('{_DOTS}')",
        lambda self: not _literal(self) or re.search(_DOTS, self.value) is None,
    ),
    Rule(
        "value",
        f"{_NEVER}: // becomes / before; write one slash",
        f"self.type == 'Regex' || (self.type == 'Prefix' "
        f"? !self.value.matches('{_SLASHES_INSIDE}') "
        f": !self.value.contains('//') || self.value.matches('{_SLASHES_ALONE}'))",
        lambda self: not _literal(self) or _slashes(self),
    ),
)
"""Rules of :class:`~fluxgate.api.v1alpha1.matching.PathMatch`."""
