"""What ``make run`` runs, as a process with its things in a folder of the test."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.processes import end

ROOT = Path(__file__).parents[2]
START_SECONDS = 120.0
STOP_SECONDS = 60.0


@dataclass(slots=True)
class Running:
    """A quick start in the foreground of its own session."""

    process: subprocess.Popen[str]
    home: Path
    gateway: str
    key: str
    admin: str
    admin_key: str

    @property
    def port(self) -> int:
        return int(self.gateway.rpartition(":")[2])

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Interrupt it; returns its exit code and what else it wrote to standard output."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, rest


@contextlib.contextmanager
def quickstart(home: Path) -> Iterator[Running]:
    """What ``make run`` runs, on a free port, with its things in ``home``."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLUXGATE_")},
        "FLUXGATE_HTTP_PORT": "0",
        "FLUXGATE_QUICKSTART_DIR": str(home),
    }
    home.parent.mkdir(parents=True, exist_ok=True)
    errors = home.parent / "stderr.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "examples/quickstart/start.py"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        ready = first_line(process, errors)
        found = re.fullmatch(
            r"ready: gateway=(http://127\.0\.0\.1:\d+) demo-key=(\S+)"
            r" admin=(http://127\.0\.0\.1:\d+) admin-key=(\S+)\n",
            ready,
        )
        assert found, ready
        yield Running(process, home, *found.groups())
    finally:
        end(process, STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def first_line(process: subprocess.Popen[str], errors: Path) -> str:
    """The first line of standard output, or a failure that shows what went to standard error."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_SECONDS) else ""
    assert line, f"no ready line; standard error:\n{errors.read_text()}"
    return line
