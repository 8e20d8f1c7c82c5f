"""A bar while a folder of many files is read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fluxgate_cli.output import console
from fluxgate_operator.providers.scan import scan

MANY = 500
"""Files from which on reading them takes long enough to show a bar: about a second."""

_EVERY = 0.1


class Reader(Protocol):
    """Who reads the files."""

    @property
    def files_read(self) -> int:
        """How many it has read so far."""
        ...


@contextlib.asynccontextmanager
async def loading(folder: Path, reader: Reader) -> AsyncIterator[None]:
    """Show on a terminal how many files of ``folder`` have been read, while the context is open."""
    out = console(stderr=True)
    total = len(scan(folder).files) if out.is_terminal else 0
    if total < MANY:
        yield
        return
    columns = (TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # drawn only when we say so: a thread of its own would wait for the busy loop anyway
    with Progress(*columns, console=out, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=total)

        async def follow() -> None:
            while True:
                bar.update(task, completed=reader.files_read, refresh=True)
                await asyncio.sleep(_EVERY)

        following = asyncio.create_task(follow(), name="progress")
        try:
            yield
        finally:
            following.cancel()
