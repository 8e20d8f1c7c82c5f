"""The newest snapshot of every gateway, and who wants to know when it changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from types import TracebackType
from typing import Self

from fluxgate.snapshot import Snapshot
from fluxgate.xds import typeurl
from fluxgate_xds.changes import ChangeLog
from fluxgate_xds.views import Resources, Views

_SENT_IN_FULL = (typeurl.CLUSTER, typeurl.LISTENER)
_MAX_PAST = 16


class Watch:
    """One stream's view of one gateway; a context manager.

    However many snapshots are published while the stream is busy, it sees the
    newest one only, so a slow reader holds no queue.
    """

    def __init__(self, cache: SnapshotCache, gateway: str) -> None:
        self._cache = cache
        self._gateway = gateway
        self.published = asyncio.Event()
        """Set when a snapshot was published since it was last cleared."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The newest snapshot of the gateway, if there is one yet."""
        return self._cache.snapshot(self._gateway)

    def __enter__(self) -> Self:
        self._cache.watches(self._gateway).add(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cache.watches(self._gateway).discard(self)


class SnapshotCache:
    """Implements :class:`fluxgate.ports.SnapshotSink`. To be used from one event loop's thread.

    Whoever publishes has made sure that the snapshot is consistent
    (:meth:`fluxgate.snapshot.Snapshot.require_consistent`).
    """

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._watches: dict[str, set[Watch]] = {}
        self._filled = asyncio.Event()
        self._past: dict[str, OrderedDict[tuple[str, str], Resources]] = {}
        self.changes = ChangeLog()
        self.views = Views()

    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        """Make ``snapshot`` what every node of ``gateway`` shall serve; equal ones change nothing."""
        current = self._snapshots.get(gateway)
        if current is not None and current.versions == snapshot.versions:
            return
        if current is not None:
            self._keep(gateway, current)
        self._snapshots[gateway] = snapshot
        self._filled.set()
        for watch in self._watches.get(gateway, ()):
            watch.published.set()

    def recall(self, gateway: str, type_url: str, version: str) -> Resources | None:
        """What a recent version of a type held; only for types that are sent in full.

        A state-of-the-world client that reconnects names its version and nothing else.
        """
        past = self._past.get(gateway)
        return past.get((type_url, version)) if past is not None else None

    def _keep(self, gateway: str, snapshot: Snapshot) -> None:
        past = self._past.setdefault(gateway, OrderedDict())
        for url in _SENT_IN_FULL:
            key = (url, snapshot.versions[url])
            past[key] = snapshot.of_type(url)
            past.move_to_end(key)
        while len(past) > _MAX_PAST:
            past.popitem(last=False)

    def snapshot(self, gateway: str) -> Snapshot | None:
        """The newest snapshot of ``gateway``."""
        return self._snapshots.get(gateway)

    def watch(self, gateway: str) -> Watch:
        """A new view of ``gateway``, which need not have a snapshot yet."""
        return Watch(self, gateway)

    def watches(self, gateway: str) -> set[Watch]:
        """The views of ``gateway``; changed by :class:`Watch` only."""
        return self._watches.setdefault(gateway, set())

    def complete(self) -> None:
        """Whoever publishes has published all there is, be it nothing at all."""
        self._filled.set()

    async def filled(self) -> None:
        """Return when a snapshot has been published, or it is known that there is none."""
        await self._filled.wait()
