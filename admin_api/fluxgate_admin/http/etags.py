"""ETags and their conditions (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re

from fluxgate_admin.errors import InvalidRequestError

_ONE = r'(\*|(W/)?"[\x21\x23-\x7e]*")'
ETAGS = rf"^{_ONE}( ?, ?{_ONE})*$"
"""What ``If-Match`` and ``If-None-Match`` look like, for schemas."""
_ENTRY = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e]*)"|(\*))\s*(?:,|$)')
_MOST = 32


def quoted(digest: str) -> str:
    """An ETag header's value."""
    return f'"{digest}"'


def read_if_match(value: str | None) -> tuple[str, ...] | None:
    """The digests of ``If-Match``, ``*`` for any; None without the header.

    Weak ones never match: they say that two versions are alike, not that they are one. Raises
    ``InvalidRequestError``.
    """
    if value is None:
        return None
    entries = _entries("If-Match", value)
    return tuple(digest for weak, digest in entries if not weak)


def matches_none(value: str | None, digest: str) -> bool:
    """Whether ``If-None-Match`` names this version, so that a reader has it already."""
    if value is None:
        return False
    return any(each in (digest, "*") for _, each in _entries("If-None-Match", value))


def _entries(header: str, value: str) -> list[tuple[bool, str]]:
    found: list[tuple[bool, str]] = []
    place = 0
    while place < len(value):
        match = _ENTRY.match(value, place)
        if match is None or len(found) == _MOST:
            raise InvalidRequestError(
                f'{header}: write ETags in quotes, separated by commas: "abc", "def"; or *.'
            )
        digest = (
            "*" if match[3] else match[2].replace("*", "")
        )  # "*" in quotes is no version of ours
        found.append((bool(match[1]), digest))
        place = match.end()
    if not found:
        raise InvalidRequestError(f"{header}: is empty.")
    return found
