"""The xDS server on an event loop of its own thread, for tests that block on their clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from fluxgate.ports import NodeState
from fluxgate.snapshot import Snapshot
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerSettings

T = TypeVar("T")


class BackgroundXds:
    """Started when entered; every call runs on the server's own thread."""

    def __init__(self, gateway: str = "default/main") -> None:
        self.gateway = gateway
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._run(self._start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def publish(self, snapshot: Snapshot) -> None:
        snapshot.require_consistent()

        async def publish() -> None:
            self.cache.publish(self.gateway, snapshot)

        self._run(publish)

    def node(self) -> NodeState | None:
        """The one node of the gateway."""

        async def read() -> tuple[NodeState, ...]:
            return self.registry.nodes(self.gateway)

        found = self._run(read)
        return found[0] if found else None

    def restart(self, snapshot: Snapshot | None = None, *, forget: bool = True) -> None:
        """A new server on the same port, with ``snapshot`` from the start if there is one.

        It remembers nothing, unless told not to ``forget``: then only the streams end.
        """
        self._run(self._stop)

        async def start() -> int:
            if forget:
                self.cache = SnapshotCache()
            if snapshot is not None:
                self.cache.publish(self.gateway, snapshot)
            return await self._serve()

        self._run(start)

    async def _start(self) -> int:
        self.cache = SnapshotCache()
        return await self._serve()

    async def _serve(self) -> int:
        self.registry = NodeRegistry()
        settings = XdsServerSettings(port=self.port)
        self.server = XdsServer(settings, self.cache, self.registry)
        return await self.server.start()

    async def _stop(self) -> None:
        await self.server.stop(1.0)

    def _run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(20)
