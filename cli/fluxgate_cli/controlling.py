"""Runs a controller in the foreground: progress and signals."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from fluxgate_cli.foreground import first, signals, started, stopped
from fluxgate_operator.controller import Controller
from fluxgate_operator.settings import ControllerSettings


async def control(
    settings: ControllerSettings,
    log: FilteringBoundLogger,
    on_ready: Callable[[Controller], None],
    tell: Callable[[str], None],
) -> None:
    """Run until a signal. The first one ends in order, a second one at once.

    ``on_ready`` is called when the first complete configuration is served, ``tell`` with what
    a person wants to know on the way. Raises what keeps the controller from starting, or
    brought it down.
    """
    began = time.monotonic()
    stop, hurry = asyncio.Event(), asyncio.Event()
    with signals(stop, hurry):
        controller = Controller(settings, log, os.environ)
        tell("connecting to the API server")
        if not await started(controller, stop):
            return
        try:
            await first(controller.ready.wait(), stop.wait(), controller.finished())
            if controller.ready.is_set():
                tell(f"first configuration served after {time.monotonic() - began:.2f} s")
                on_ready(controller)
                await first(stop.wait(), controller.finished())
            if stop.is_set():
                tell("stopping: nodes go to other replicas; a second signal ends at once")
        finally:
            await stopped(controller, hurry)
