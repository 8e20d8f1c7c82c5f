"""How soon a change of a file is known, and what waiting costs, by file watching library.

    python -m bench.watching

Measures our own watch (asyncinotify). ``watchfiles`` and ``watchdog`` are no dependencies of
this project; those that are installed are measured beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from fluxgate_operator.providers.watch import FolderWatch

FOLDERS = 50
CHANGES = 40
IDLE_SECONDS = 3.0
Seen = Callable[[], None]
Watching = contextlib.AbstractAsyncContextManager[None]


def _folders(root: Path) -> list[Path]:
    return [root, *root.iterdir()]


@contextlib.asynccontextmanager
async def _ours(root: Path, seen: Seen) -> AsyncIterator[None]:
    async def follow(watch: FolderWatch) -> None:
        async for _ in watch.changes():
            seen()

    folders = _folders(root)
    with FolderWatch(root) as watch:
        watch.follow(folders, [])
        task = asyncio.create_task(follow(watch))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _watchfiles(**settings: int) -> Callable[[Path, Seen], Watching]:
    module = importlib.import_module("watchfiles")

    @contextlib.asynccontextmanager
    async def watching(root: Path, seen: Seen) -> AsyncIterator[None]:
        stop = asyncio.Event()

        async def follow() -> None:
            async for _ in module.awatch(root, stop_event=stop, **settings):
                seen()

        task = asyncio.create_task(follow())
        try:
            yield
        finally:
            stop.set()
            await task

    return watching


def _watchdog() -> Callable[[Path, Seen], Watching]:
    observers = importlib.import_module("watchdog.observers")
    events = importlib.import_module("watchdog.events")

    @contextlib.asynccontextmanager
    async def watching(root: Path, seen: Seen) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        handler = events.FileSystemEventHandler()
        handler.on_closed = handler.on_moved = lambda _: loop.call_soon_threadsafe(seen)
        observer = observers.Observer()
        observer.schedule(handler, str(root), recursive=True)
        observer.start()
        try:
            yield
        finally:
            observer.stop()
            observer.join()

    return watching


async def _measure(
    make: Callable[[Path, Seen], Watching],
) -> tuple[list[float], list[float], float]:
    """Milliseconds from close and from rename to the callback, and the idle CPU in percent."""
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        root, changed = Path(scratch), asyncio.Event()
        for index in range(FOLDERS):
            (root / f"d{index}").mkdir()
        async with make(root, changed.set):
            await asyncio.sleep(1.0)  # libraries with threads say nowhere when they have begun
            written = [await _latency(_write, root, n, changed) for n in range(CHANGES)]
            renamed = [await _latency(_rename, root, n, changed) for n in range(CHANGES)]
            before = time.process_time()
            await asyncio.sleep(IDLE_SECONDS)
            idle = (time.process_time() - before) / IDLE_SECONDS * 100
    return written, renamed, idle


async def _latency(
    change: Callable[[Path], float], root: Path, number: int, changed: asyncio.Event
) -> float:
    await asyncio.sleep(0.1)
    changed.clear()
    started = change(root / f"d{number % FOLDERS}" / f"f{number}.yaml")
    await asyncio.wait_for(changed.wait(), 10)
    return (time.perf_counter() - started) * 1000


def _write(path: Path) -> float:
    file = path.open("w")
    file.write("kind: Route\n")
    started = time.perf_counter()
    file.close()
    return started


def _rename(path: Path) -> float:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text("kind: Route\n")
    started = time.perf_counter()
    temporary.rename(path)
    return started


def main() -> int:
    """Print one row a library."""
    candidates: list[tuple[str, Callable[[], Callable[[Path, Seen], Watching]]]] = [
        ("asyncinotify", lambda: _ours),
        ("watchdog", _watchdog),
        ("watchfiles, step 1 ms", lambda: _watchfiles(step=1, debounce=50)),
        ("watchfiles, step 5 ms", lambda: _watchfiles(step=5, debounce=50)),
        ("watchfiles, defaults", _watchfiles),
    ]
    print("library                  close: mean / max ms   rename: mean / max ms   idle CPU %")
    for name, candidate in candidates:
        try:
            make = candidate()
        except ModuleNotFoundError as missing:
            print(f"{name:24} {missing}")
            continue
        written, renamed, idle = asyncio.run(_measure(make))
        print(
            f"{name:24} {statistics.fmean(written):8.2f} / {max(written):8.2f}"
            f"   {statistics.fmean(renamed):9.2f} / {max(renamed):8.2f}   {idle:8.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
