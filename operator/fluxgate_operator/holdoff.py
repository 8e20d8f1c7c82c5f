"""Coalesces a burst of changes into one reconciliation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fluxgate_operator.settings import HoldoffSettings

Pause = Callable[[asyncio.Event, float], Awaitable[bool]]
"""Waits for an event, at most so many seconds; says whether it came."""


async def pause(event: asyncio.Event, seconds: float) -> bool:
    """Wait for ``event`` at most ``seconds``; returns whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def hold_off(
    changed: asyncio.Event,
    settings: HoldoffSettings,
    clock: Callable[[], float],
    wait: Pause = pause,
) -> None:
    """Return when no change came for ``delay`` seconds, and after ``ceiling`` at the latest."""
    deadline = clock() + settings.ceiling
    while True:
        changed.clear()
        left = deadline - clock()
        if left <= 0 or not await wait(changed, min(settings.delay, left)):
            return
