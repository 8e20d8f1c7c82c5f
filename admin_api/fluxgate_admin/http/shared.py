"""Answers that everybody may have, asked for once for all who want them at about the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Asks at most once at a time, and again when an answer is ``seconds`` old.

    What nobody has to show a credential for, anybody can ask for as often as they like: this is what keeps that
    from the database.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[T]], seconds: float, clock: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._known: tuple[float, T] | None = None
        self._asking: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """The answer. What ``ask`` raises is raised for all who wait for it, and not kept."""
        if self._known is not None and 0 <= self._clock() - self._known[0] < self._seconds:
            return self._known[1]
        if self._asking is None:
            self._asking = asyncio.create_task(self._asked())
            self._asking.add_done_callback(self._done)
        return await asyncio.shield(self._asking)

    async def _asked(self) -> T:
        at = self._clock()
        answer = await self._ask()
        self._known = at, answer
        return answer

    def _done(self, task: asyncio.Task[T]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # who waits gets it; nobody may wait any more
