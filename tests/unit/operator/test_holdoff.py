"""How a burst of changes is coalesced, with a clock of the test's own."""

from __future__ import annotations

import asyncio

from fluxgate_operator.holdoff import hold_off
from fluxgate_operator.settings import HoldoffSettings

SETTINGS = HoldoffSettings(delay=0.002, ceiling=0.1)


class Clock:
    """Time passes only while somebody waits; changes come at the given moments."""

    def __init__(self, *changes: float) -> None:
        self.now = 0.0
        self.changes = list(changes)

    def __call__(self) -> float:
        return self.now

    async def wait(self, event: asyncio.Event, seconds: float) -> bool:
        if self.changes and self.changes[0] <= self.now + seconds:
            self.now = self.changes.pop(0)
            event.set()
            return True
        self.now += seconds
        return False


async def test_a_single_change_is_acted_on_after_the_delay() -> None:
    clock = Clock()
    await hold_off(asyncio.Event(), SETTINGS, clock, clock.wait)

    assert clock.now == 0.002


async def test_every_change_of_a_burst_extends_the_wait() -> None:
    clock = Clock(0.001, 0.002, 0.003)
    await hold_off(asyncio.Event(), SETTINGS, clock, clock.wait)

    assert clock.now == 0.005


async def test_a_burst_without_end_is_cut_at_the_ceiling() -> None:
    clock = Clock(*(n / 1000 for n in range(1, 1000)))
    await hold_off(asyncio.Event(), SETTINGS, clock, clock.wait)

    assert 0.099 <= clock.now <= 0.1001


async def test_a_change_after_the_return_is_not_lost() -> None:
    changed = asyncio.Event()
    clock = Clock()
    await hold_off(changed, SETTINGS, clock, clock.wait)
    assert not changed.is_set()
