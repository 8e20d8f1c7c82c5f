"""Whether two documents say the same, whoever filled in the defaults."""

from __future__ import annotations

from fluxgate.api.canonical import canonical, digest
from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate.ports.resources import Document


def means_the_same(one: Document | None, other: Document | None) -> bool:
    """Equal, or equal once read by the models; None is no object, and equal to nothing else.

    An API server writes defaults into what it keeps, so the object it stores differs from the one it was sent.
    """
    if one is None or other is None:
        return one is other
    if digest(one) == digest(other):
        return True
    try:
        return parse_object(canonical(one)) == parse_object(canonical(other))
    except ResourceError:
        return False
