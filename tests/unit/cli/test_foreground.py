"""What ends a service in the foreground, whatever the service does with its cancellation."""

from __future__ import annotations

import asyncio

import pytest

from fluxgate_cli import foreground
from fluxgate_cli.errors import CutShortError
from fluxgate_cli.foreground import stopped


class Draining:
    """Ends when it is cancelled, but not the first ``deaf`` times."""

    def __init__(self, deaf: int) -> None:
        self.deaf = deaf
        self.cancelled = 0

    async def start(self) -> None:
        """There is nothing to start."""

    async def finished(self) -> None:
        """It never ends by itself."""

    async def stop(self) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                if self.cancelled > self.deaf:
                    raise


@pytest.mark.parametrize("deaf", [0, 2])
async def test_a_second_signal_ends_it_even_if_a_cancellation_gets_lost(
    deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreground, "_CANCEL_AGAIN", 0.01)
    service, hurry = Draining(deaf), asyncio.Event()
    hurry.set()
    with pytest.raises(CutShortError):
        async with asyncio.timeout(60):
            await stopped(service, hurry)
    assert service.cancelled == deaf + 1
