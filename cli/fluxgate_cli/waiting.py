"""What a person sees while ``status --wait`` waits: which nodes are still missing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from fluxgate_cli.control import client
from fluxgate_cli.control.models import StatusView
from fluxgate_cli.errors import CliError
from fluxgate_cli.output import console

LOOK_EVERY = 0.5
"""Seconds between two looks at the status; what most waits never reach."""


@contextlib.contextmanager
def progress(state_dir: Path, timeout: float) -> Iterator[None]:
    """Show on a terminal how far the nodes are; elsewhere nothing at all."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    began = time.monotonic()
    ended = threading.Event()
    with out.status("waiting for every node") as line:

        def look() -> None:
            while not ended.wait(LOOK_EVERY):
                with contextlib.suppress(CliError):  # the wait itself will tell
                    words = still_missing(client.status(state_dir))
                    line.update(f"{words} ({time.monotonic() - began:.0f} of {timeout:g} s)")

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


def still_missing(view: StatusView) -> str:
    """Who serves the newest configuration and who does not, in one line."""
    connected = [node for node in view.nodes if node.connected]
    if not connected:
        return "no node is connected yet"
    served = sum(node.serves_newest for node in connected)
    lag = next((f"; {node.id}: {node.lag}" for node in connected if node.lag), "")
    return f"{served} of {len(connected)} nodes serve it{lag}"
