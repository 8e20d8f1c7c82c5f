"""Cursors of lists: opaque to callers, and nothing but a place in an order that everybody may know."""

from __future__ import annotations

import base64
import binascii

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import UnprocessableError


def cursor_of(ref: ObjectRef) -> str:
    """The cursor behind an object."""
    return base64.urlsafe_b64encode("\0".join(ref).encode()).decode().rstrip("=")


def read_cursor(text: str | None, expected: str) -> ObjectRef | None:
    """The place in the list of a kind that a cursor stands for; None for none.

    Raises ``UnprocessableError`` for what is no cursor of that list.
    """
    if not text:
        return None
    try:
        parts = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        parts = ""
    kind, _, rest = parts.partition("\0")
    namespace, separator, name = rest.partition("\0")
    if kind != expected or not separator:
        raise UnprocessableError(
            "after: is not a cursor of this list; take it from `after` of the page before.",
            error="invalid_cursor",
        )
    return ObjectRef(kind, namespace, name)
