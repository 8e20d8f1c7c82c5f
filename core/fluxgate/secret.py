"""Bytes that never print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretBytes:
    """Secret material; ``repr`` and ``str`` are redacted, :meth:`reveal` is easy to search for."""

    _value: bytes

    def reveal(self) -> bytes:
        """The material itself. Call it only where it leaves for its destination."""
        return self._value

    def __repr__(self) -> str:
        return "SecretBytes(<redacted>)"

    __str__ = __repr__
