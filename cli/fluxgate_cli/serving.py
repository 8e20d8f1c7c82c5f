"""Runs a gateway in the foreground: progress, the control socket, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from structlog.typing import FilteringBoundLogger

from fluxgate_cli.control.instance import RunningInstance
from fluxgate_cli.control.server import serving
from fluxgate_cli.errors import CutShortError
from fluxgate_cli.loading import loading
from fluxgate_cli.output import say
from fluxgate_operator.settings import StandaloneSettings
from fluxgate_operator.standalone import StandaloneGateway

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def serve(
    settings: StandaloneSettings,
    log: FilteringBoundLogger,
    on_ready: Callable[[tuple[str, ...]], None],
    tell: Callable[[str], None] = say,
) -> None:
    """Serve until a signal. The first one drains, a second one ends at once.

    ``on_ready`` gets the addresses once every node serves the folder, ``tell`` what a person
    wants to know on the way. Raises what keeps the gateway from starting, or brought it down.
    """
    began = time.monotonic()
    stop, hurry = asyncio.Event(), asyncio.Event()
    with _signals(stop, hurry):
        gateway = StandaloneGateway(settings, log, os.environ)
        tell(f"reading {settings.config_dir} and starting Envoy")
        async with loading(settings.config_dir, gateway.provider):
            if not await _started(gateway, stop):
                return
        try:
            instance = RunningInstance(gateway, settings.config_dir, time.time())
            async with serving(instance, settings.state_dir):
                await _until_ready(gateway, stop)
                if gateway.ready.is_set():
                    tell(f"{_loaded(gateway)} served after {time.monotonic() - began:.2f} s")
                    on_ready(gateway.http_addresses)
                    await _first(stop.wait(), gateway.finished())
                if stop.is_set():
                    tell("stopping: open requests may end; a second signal ends at once")
        finally:
            await _stopped(gateway, hurry)


async def _stopped(gateway: StandaloneGateway, hurry: asyncio.Event) -> None:
    """Drain and stop; raises :class:`CutShortError` when a second signal came first.

    What then still runs, Envoy above all, is ended with the event loop's tasks.
    """
    stopping = asyncio.create_task(gateway.stop(), name="stop")
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait((stopping, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not stopping.done():
        stopping.cancel()
        await asyncio.wait((stopping,))
        raise CutShortError("a second signal came, so open requests were cut")
    stopping.result()


async def _started(gateway: StandaloneGateway, stop: asyncio.Event) -> bool:
    """Start the gateway; False when a signal came first. A start undoes what it had begun."""
    starting = asyncio.create_task(gateway.start(), name="start")
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


def _loaded(gateway: StandaloneGateway) -> str:
    objects, files = len(gateway.store.freeze()), gateway.provider.files_read
    broken = len(gateway.provider.problems)
    problems = f", {broken:,} problem{'s' if broken > 1 else ''} (see 'fluxgate status')"
    return f"{objects:,} objects of {files:,} files{problems if broken else ''}:"


async def _until_ready(gateway: StandaloneGateway, stop: asyncio.Event) -> None:
    """Return when everything is served or a signal came; raise what brought the gateway down."""
    await _first(gateway.ready.wait(), stop.wait(), gateway.finished())


async def _first(*waits: Coroutine[object, object, object]) -> None:
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


@contextmanager
def _signals(stop: asyncio.Event, hurry: asyncio.Event) -> Iterator[None]:
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
