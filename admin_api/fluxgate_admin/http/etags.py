"""ETags and their conditions (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re

_ENTRY = re.compile(r'\s*(?:(W/)?"([\x21\x23-\x7e]*)"|(\*))\s*(?:,|$)')
_MOST = 32


def quoted(digest: str) -> str:
    """An ETag header's value."""
    return f'"{digest}"'


def read_if_match(value: str | None) -> tuple[str, ...] | None:
    """The digests of ``If-Match``, ``*`` for any; None without the header.

    Weak ones never match: they say that two versions are alike, not that they are one. What is no list of
    ETags names no version, so that whoever forgot the quotes overwrites nothing.
    """
    if value is None:
        return None
    return tuple(digest for weak, digest in _entries(value) if not weak)


def matches_none(value: str | None, digest: str) -> bool:
    """Whether ``If-None-Match`` names this version, so that a reader has it already."""
    if value is None:
        return False
    return any(each in (digest, "*") for _, each in _entries(value))


def _entries(value: str) -> list[tuple[bool, str]]:
    """Weak or not, and the digest, of every ETag; nothing when any of them cannot be read."""
    found: list[tuple[bool, str]] = []
    place = 0
    while place < len(value):
        match = _ENTRY.match(value, place)
        if match is None or len(found) == _MOST:
            return []
        # "*" in quotes is no version of ours
        digest = "*" if match[3] else match[2].replace("*", "")
        found.append((bool(match[1]), digest))
        place = match.end()
    return found
