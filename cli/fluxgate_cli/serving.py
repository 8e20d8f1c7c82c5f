"""Runs a gateway in the foreground: progress, the control socket, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate_cli.control.instance import RunningInstance
from fluxgate_cli.control.server import serving
from fluxgate_cli.foreground import first, signals, started, stopped
from fluxgate_cli.loading import loading
from fluxgate_cli.output import say
from fluxgate_operator.failures import first_cause_alone
from fluxgate_operator.settings import StandaloneSettings
from fluxgate_operator.standalone import StandaloneGateway


class AdminWish(Protocol):
    """The admin API beside a gateway, if it is wanted."""

    def serving(
        self, gateway: StandaloneGateway, log: FilteringBoundLogger
    ) -> AbstractAsyncContextManager[str]:
        """Serve it while the context is open; gives its URL."""
        ...


async def serve(
    settings: StandaloneSettings,
    log: FilteringBoundLogger,
    on_ready: Callable[[tuple[str, ...], str], None],
    tell: Callable[[str], None] = say,
    admin: AdminWish | None = None,
) -> None:
    """Serve until a signal. The first one drains, a second one ends at once.

    ``on_ready`` gets the addresses, and the admin API's URL if there is one, once every node serves
    the folder, ``tell`` what a person wants to know on the way. Raises what keeps the gateway from
    starting, or brought it down.
    """
    began = time.monotonic()
    stop, hurry = asyncio.Event(), asyncio.Event()
    with signals(stop, hurry):
        gateway = StandaloneGateway(settings, log, os.environ)
        tell(f"reading {settings.config_dir} and starting Envoy")
        async with loading(settings.config_dir, gateway.provider):
            if not await started(gateway, stop):
                return
        try:
            instance = RunningInstance(gateway, settings.config_dir, time.time())
            async with serving(instance, settings.state_dir), _admin(admin, gateway, log) as url:
                await _until_ready(gateway, stop)
                if gateway.ready.is_set():
                    tell(f"{_loaded(gateway)} served after {time.monotonic() - began:.2f} s")
                    on_ready(gateway.http_addresses, url)
                    await first(stop.wait(), gateway.finished())
                if stop.is_set():
                    tell("stopping: open requests may end; a second signal ends at once")
        finally:
            await stopped(gateway, hurry)


@contextlib.asynccontextmanager
async def _admin(
    admin: AdminWish | None, gateway: StandaloneGateway, log: FilteringBoundLogger
) -> AsyncIterator[str]:
    """The admin API's URL while it is served; empty where it is not wanted."""
    if admin is None:
        yield ""
        return
    with first_cause_alone():
        async with admin.serving(gateway, log) as url:
            preparing = asyncio.create_task(gateway.trials.prepare(), name="trials")
            try:
                yield url
            finally:
                preparing.cancel()


def _loaded(gateway: StandaloneGateway) -> str:
    objects, files = len(gateway.store.freeze()), gateway.provider.files_read
    broken = len(gateway.provider.problems)
    problems = f", {broken:,} problem{'s' if broken > 1 else ''} (see 'fluxgate status')"
    return f"{objects:,} objects of {files:,} files{problems if broken else ''}:"


async def _until_ready(gateway: StandaloneGateway, stop: asyncio.Event) -> None:
    """Return when everything is served or a signal came; raise what brought the gateway down."""
    await first(gateway.ready.wait(), stop.wait(), gateway.finished())
