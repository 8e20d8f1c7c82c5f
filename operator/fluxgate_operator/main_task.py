"""The one task that everything of a composition root runs in.

Its caller wants to know three things, whatever the root is made of: that it has started or what kept
it from it, what brought it down later, and that it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fluxgate_operator.failures import first_cause_alone

Run = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls what it is given once everything has been started, and goes on until it is cancelled."""


class MainTask:
    """Runs a :data:`Run` in a task of its own, from :meth:`start` to :meth:`end`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended, in whatever way."""
        return self._task is not None and not self._task.done()

    async def start(self, run: Run) -> None:
        """Return once ``run`` has started everything; raise what kept it from that.

        Of several failures the first is raised. The task has ended when this raises or is cancelled.
        """
        started = asyncio.Event()
        task = self._task = asyncio.create_task(_plainly(run, started.set), name=self._name)
        task.add_done_callback(lambda _: started.set())
        try:
            await started.wait()
            if task.done():
                task.result()
        except BaseException:
            await self.end()
            raise

    async def finished(self) -> None:
        """Return when it was ended, or never started; raise what brought it down otherwise."""
        if self._task is None:
            return
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.result()

    async def end(self) -> None:
        """Cancel it and return when it has ended; what it raises on the way is nobody's any more."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._task, return_exceptions=True)


async def _plainly(run: Run, started: Callable[[], None]) -> None:
    with first_cause_alone():
        await run(started)
