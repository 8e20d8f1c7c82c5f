"""Who tries and writes what only one object may have: one write at a time, each after the last one is known.

A trial compares with what the control plane has. Without taking turns two writes of one match, tried at the same
moment, would each find it free, both would be stored, and one of them never served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product
from weakref import WeakValueDictionary

from fluxgate.ports.resources import Document

Claim = tuple[str, ...]


class Claims:
    """Turns of this process. Between processes, and for ``kubectl``, the order of objects decides."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Claim, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def held(self, documents: Iterable[Document | None]) -> AsyncIterator[None]:
        """Nobody else holds anything that these valid documents claim; waits for who does."""
        claims = {claim for each in documents if each is not None for claim in claims_of(each)}
        # all in one order, so that no two wait for each other
        locks = [self._locks.setdefault(each, asyncio.Lock()) for each in sorted(claims)]
        async with AsyncExitStack() as stack:
            for lock in locks:
                await stack.enter_async_context(lock)
            yield


def claims_of(document: Document) -> Iterator[Claim]:
    """What no second object may have. Coarser than the translator's own claims, so of equal ones none is missed.

    But for one: hosts that a Route does not write and takes from its Tenant or listeners.
    """
    spec = document.get("spec") or {}
    match document["kind"]:
        case "Route":
            paths = {_path(each) for each in spec.get("matches") or [{}]}
            for host, path in product(spec.get("hosts") or ("*",), paths):
                yield ("Route", host, *path)
        case "Tenant":
            yield ("Tenant", document["metadata"]["name"])
        case "ApiKey":
            yield ("ApiKey", str(spec.get("hash")))


def _path(match: Document) -> tuple[str, str]:
    path = match.get("path") or {}
    return path.get("type", "Prefix"), path.get("value", "/").rstrip("/")
