"""Programs in the background: what they say goes to files, and none outlives its test."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def in_background(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], stop_seconds: float = 20.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command``, with ``stdout`` and ``stderr`` in ``folder``; :func:`end` it at the end."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
    try:
        yield process
    finally:
        end(process, stop_seconds)


def end(process: subprocess.Popen[Any], seconds: float) -> None:
    """SIGTERM, and SIGKILL for what still runs ``seconds`` later; nothing for what has ended."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
