"""Regular expressions as Envoy reads and runs them: RE2, over UTF-8, against the whole value.

Envoy compiles with RE2's defaults and matches with ``RE2::FullMatch``; so does this module,
through google-re2, which is the same library. Matching takes time linear in the text, whatever
the expression. How large a compiled expression may be is Envoy's own setting
(``re2.max_program_size.error_level``) and not judged here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import re2


class _Expression(Protocol):
    @property
    def programsize(self) -> int: ...
    def fullmatch(self, text: bytes) -> object | None: ...


def check(pattern: str) -> None:
    """Raise ``ValueError`` with RE2's own words when ``pattern`` is not an expression."""
    _compile(pattern)


def program_size(pattern: str) -> int:
    """How large RE2 finds a compiled expression; Envoy takes only so much."""
    return _compile(pattern).programsize


def full_match(pattern: str, text: str) -> bool:
    """Whether ``pattern`` takes the whole of ``text``.

    Bytes that are no UTF-8 (surrogate escapes in ``text``) meet no ``.`` and no class, as in
    Envoy. Raises ``ValueError`` when ``pattern`` is not an expression.
    """
    return _compiled(pattern).fullmatch(text.encode(errors="surrogateescape")) is not None


def _compile(pattern: str) -> _Expression:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: _Expression = re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0]
        shown = words.decode(errors="replace") if isinstance(words, bytes) else words
        raise ValueError(f"{pattern!r} is not a regular expression: RE2 says {shown}") from None
    return compiled


_compiled = lru_cache(maxsize=4096)(_compile)
