"""In which order objects are written, so that what one needs is there before it, and goes after it. Pure.

The server writes a batch in this order, and a client that splits a large set cuts it into batches by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from fluxgate.ports.resources import Document

T = TypeVar("T")

_RANKS = {
    "Tenant": 0,
    "GatewayConfig": 0,
    "Upstream": 1,
    "Backend": 2,
    "Plugin": 3,
    "Route": 4,
    "ApiKey": 6,
}
_AFTER_ROUTES = 5
_LAST = 7


def rank_of(kind: str, document: Document | None) -> int:
    """The rank of one write; deletions (``document`` None) come after all others, in reverse."""
    rank = _RANKS.get(kind, _LAST)
    if document is None:
        return 2 * _LAST + 1 - rank
    if kind == "Plugin" and _is_for_routes(document):
        return _AFTER_ROUTES
    return rank


def _is_for_routes(document: Document) -> bool:
    """Whether a Plugin names Routes, which have to be there for it."""
    spec = document.get("spec")
    targets = spec.get("targets") if isinstance(spec, dict) else None
    if not isinstance(targets, list):
        return False
    return any(isinstance(each, dict) and each.get("kind") == "Route" for each in targets)


def in_ranks(things: Iterable[T], rank: Callable[[T], int]) -> Iterator[list[T]]:
    """``things`` by rank; those of one rank in the order they came in."""
    for _, group in groupby(sorted(things, key=rank), rank):
        yield list(group)
