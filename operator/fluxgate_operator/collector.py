"""When Python's cyclic garbage collector runs: not while a folder is loaded, and never over what was.

A collector that walks 10,000 Routes again and again while more are made doubles the time
of loading them, and each full walk stops the event loop. What is loaded lives for long
and holds no cycles, so it is moved out of the collector's sight (:func:`gc.freeze`).
Reference counts still free what is replaced. The collector belongs to the whole process:
this is called in composition roots and their first turn only. Figures: ``python -m bench.startup``.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No collection inside; what is alive at the end is left out of every later one."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if before:
            gc.enable()


def settle_collector() -> None:
    """Collect once, then leave what is alive out of every later collection."""
    gc.collect()
    gc.freeze()


def release_collector() -> None:
    """Give back to the collector what was kept out of its sight: the gateway has ended."""
    gc.unfreeze()
