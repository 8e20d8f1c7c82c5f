"""How a control plane on Kubernetes waits for its first complete turn."""

from __future__ import annotations

import asyncio
import time

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.collector import collector_paused
from fluxgate_operator.engine import Engine
from fluxgate_operator.reconciler import Reconciliation

_STILL_WAITING_SECONDS = 10.0


async def first_complete_turn(engine: Engine, log: FilteringBoundLogger) -> Reconciliation:
    """The first turn over everything there is: patient, and telling, until there is one."""
    began = time.monotonic()
    first = asyncio.create_task(engine.first_turn())
    try:
        with collector_paused():
            await asyncio.wait((first,), timeout=_STILL_WAITING_SECONDS)
        while not first.done():
            log.warning(
                "still waiting for the first complete list of the API server",
                waited=f"{time.monotonic() - began:.0f} s",
            )
            await asyncio.wait((first,), timeout=_STILL_WAITING_SECONDS)
    finally:
        first.cancel()
    while (turn := engine.reconciler.current) is None:
        await engine.reconciler.done.wait()
    return turn
