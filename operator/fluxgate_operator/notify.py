"""Wakes everyone who waits for the next change of something."""

from __future__ import annotations

import asyncio


class Signal:
    """Like a condition without a lock: :meth:`wait` returns at the first notify after its call."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def notify(self) -> None:
        """Wake everyone who waits now."""
        future, self._future = self._future, None
        if future is not None and not future.done():
            future.set_result(None)

    def subscribe(self) -> asyncio.Future[None]:
        """A future done at the next notify; it counts from this call, not from its await."""
        if self._future is None or self._future.done():
            self._future = asyncio.get_running_loop().create_future()
        waiting = self._future

        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake(_: asyncio.Future[None]) -> None:
            if not mine.done():
                mine.set_result(None)

        waiting.add_done_callback(wake)
        return mine

    async def wait(self) -> None:
        """Return at the next notify."""
        await self.subscribe()
