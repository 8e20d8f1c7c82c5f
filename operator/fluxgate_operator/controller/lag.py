"""How long nodes take to serve what was published."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from fluxgate_operator.engine import Engine

_MOST = 1024


async def follow_propagation(engine: Engine, observe: Callable[[float], None]) -> None:
    """Tell ``observe``, in seconds, of every turn that came to be served by every node.

    Until cancelled. Turns that changed nothing for anybody are not told, nor turns in a time
    without nodes.
    """
    published: OrderedDict[int, float] = OrderedDict()
    before: dict[str, str] = {}
    while True:
        waiting = [engine.reconciler.done.subscribe(), engine.tracker.changed.subscribe()]
        turn = engine.reconciler.current
        if turn is not None and turn.versions != before:
            before = turn.versions
            published[turn.sequence] = time.monotonic()
            if len(published) > _MOST:
                published.popitem(last=False)
        nodes = engine.tracker.counted_nodes()
        served = min((engine.tracker.serving_sequence(node) for node in nodes), default=None)
        while published and (served is None or next(iter(published)) <= served):
            _, since = published.popitem(last=False)
            if served is not None:
                observe(time.monotonic() - since)
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
