"""An Envoy whose supervisor was killed still holds its ports; it is ended by its id."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from structlog.typing import FilteringBoundLogger

_GRACE_SECONDS = 2.0


def end_orphan(pid_file: Path, marker: str, log: FilteringBoundLogger) -> bool:
    """End the process ``pid_file`` names, if its command line holds ``marker``.

    The marker is the state folder, which is locked by whoever supervises: a process
    that still runs from it has no supervisor any more. Returns whether one was ended.
    """
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False
    if not any(part.startswith(os.fsencode(marker) + b"/") for part in command):
        return False
    log.warning("ending an Envoy that a killed predecessor left behind", envoy_pid=pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGTERM)
        if not _wait_gone(pid):
            os.kill(pid, signal.SIGKILL)
            _wait_gone(pid)
    return True


def _wait_gone(pid: int) -> bool:
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
