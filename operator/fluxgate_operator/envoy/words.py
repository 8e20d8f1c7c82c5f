"""Envoy's error messages, cut down to what it says is wrong."""

from __future__ import annotations

_CONSTRAINT = "Proto constraint validation failed"
_LONGEST = 2000


def concise(message: str) -> str:
    """``message`` without the dump of the whole resource that a broken constraint begins with.

    The dump names every object that shares the resource, and holds what nobody should
    have to read, or may read, to learn what is wrong.
    """
    return message[max(message.rfind(_CONSTRAINT), 0) :].strip()[:_LONGEST]
