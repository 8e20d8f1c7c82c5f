"""The newest snapshot of every gateway, and who wants to know when it changes."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from fluxgate.snapshot import Snapshot
from fluxgate_xds.changes import ChangeLog


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
        self.changes = ChangeLog()

    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        """Make ``snapshot`` what every node of ``gateway`` shall serve; equal ones change nothing."""
        current = self._snapshots.get(gateway)
        if current is not None and current.versions == snapshot.versions:
            return
        self._snapshots[gateway] = snapshot
        self._filled.set()
        for watch in self._watches.get(gateway, ()):
            watch.published.set()

    def snapshot(self, gateway: str) -> Snapshot | None:
        """The newest snapshot of ``gateway``."""
        return self._snapshots.get(gateway)

    def watch(self, gateway: str) -> Watch:
        """A new view of ``gateway``, which need not have a snapshot yet."""
        return Watch(self, gateway)

    def watches(self, gateway: str) -> set[Watch]:
        """The views of ``gateway``; changed by :class:`Watch` only."""
        return self._watches.setdefault(gateway, set())

    async def filled(self) -> None:
        """Return when at least one snapshot has been published."""
        await self._filled.wait()
