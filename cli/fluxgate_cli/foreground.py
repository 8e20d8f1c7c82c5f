"""Runs something in the foreground until a signal: the first one stops it, a second ends at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Protocol

from fluxgate_cli.errors import CutShortError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CANCEL_AGAIN = 1.0
"""Seconds until something that was cancelled, and goes on, is cancelled again."""


class Service(Protocol):
    """What runs. A start that is cancelled undoes what it had begun."""

    async def start(self) -> None:
        """Start everything."""
        ...

    async def finished(self) -> None:
        """Return when it was stopped; raise what brought it down otherwise."""
        ...

    async def stop(self) -> None:
        """End everything in the order that drops nothing."""
        ...


async def started(service: Service, stop: asyncio.Event) -> bool:
    """Start it; False when a signal came first."""
    starting = asyncio.create_task(service.start(), name="start")
    signalled = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, signalled), return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
    if starting.cancelled():
        return False
    starting.result()
    return True


async def stopped(service: Service, hurry: asyncio.Event) -> None:
    """Drain and stop; raises :class:`CutShortError` when a second signal came first.

    What then still runs is ended with the event loop's tasks.
    """
    stopping = asyncio.create_task(service.stop(), name="stop")
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait((stopping, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not stopping.done():
        while not stopping.done():
            # again, should what it waits for right now have ended and taken the cancellation for itself
            stopping.cancel()
            await asyncio.wait((stopping,), timeout=_CANCEL_AGAIN)
        raise CutShortError("a second signal came, so open requests were cut")
    stopping.result()


async def first(*waits: Coroutine[object, object, object]) -> None:
    """Return when one of ``waits`` does; raise what it raises."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


@contextmanager
def signals(stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
    """The first signal sets ``stop``, the second ``hurry``."""
    loop = asyncio.get_running_loop()

    def received() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in SIGNALS:
        loop.add_signal_handler(number, received)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
