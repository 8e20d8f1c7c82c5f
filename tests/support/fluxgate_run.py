"""The real ``fluxgate run`` as a process over a folder, and ``fluxgate status`` about it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from support.client import HeaderPairs, Response, request
from support.ports import free_port
from support.processes import in_background

T = TypeVar("T")


def environment() -> dict[str, str]:
    """This environment, without what it says about FluxGate; Envoy may still be named."""
    kept = ("FLUXGATE_ENVOY",)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("FLUXGATE_") or k in kept},
        "NO_COLOR": "1",
        "COLUMNS": "400",
    }


@dataclass(slots=True)
class FluxgateRun:
    """One process; ``home`` holds ``config``, ``state`` and what it wrote to standard error."""

    process: subprocess.Popen[bytes]
    home: Path
    state: Path
    _from: int = 0

    def begin(self) -> None:
        """Forget what was said so far."""
        self._from = (self.home / "stderr").stat().st_size

    @property
    def stderr(self) -> str:
        """Standard error so far."""
        return (self.home / "stderr").read_bytes()[self._from :].decode("utf-8", "replace")

    @property
    def port(self) -> int:
        """The port of the first listener, by the line on standard output."""
        line = (self.home / "stdout").read_text().splitlines()[0]
        return int(line.split("gateway=")[1].split()[0].rpartition(":")[2])

    def write(self, name: str, text: str | bytes) -> Path:
        """Write one file of the configuration folder."""
        path = self.home / "config" / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def get(self, path: str, headers: HeaderPairs = ()) -> Response:
        """One request through the gateway."""
        return request(self.port, path, headers=headers)

    def status(self, *options: str) -> dict[str, Any]:
        """What ``fluxgate status -o json`` prints; ``--wait`` may fail, its answer counts."""
        done = subprocess.run(
            [*COMMAND, "status", "-o", "json", "--state-dir", str(self.state), *options],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def settled(self) -> dict[str, Any]:
        """The status once everything that can be served is."""
        return self.status("--wait", "--timeout", "60")

    def until(self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Poll until ``condition`` gives something true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{what} did not come; standard error:\n{self.stderr}")
            time.sleep(0.02)
        return found

    def said(self, *words: str) -> str:
        """The first line on standard error that holds all ``words``, as soon as it is there."""

        def line() -> str:
            lines = self.stderr.splitlines()
            return next((each for each in lines if all(word in each for word in words)), "")

        return self.until(line, f"a line with {words}")


COMMAND = (sys.executable, "-m", "fluxgate_cli.main")


@contextlib.contextmanager
def fluxgate_run(
    home: Path,
    *options: str,
    state: Path | None = None,
    variables: Mapping[str, str] | None = None,
    program: tuple[str, ...] = COMMAND,
) -> Iterator[FluxgateRun]:
    """Start ``fluxgate run`` over ``home/config`` on a free port; ready or ended when entered.

    ``program`` is run in place of this environment's ``fluxgate``.
    """
    state = state or home / "state"
    command = [
        *(*program, "run", "--config", str(home / "config"), "--state-dir", str(state)),
        *("--envoy-concurrency", "1", "--drain-seconds", "0"),
        *(options or ("--http-port", str(free_port()))),
    ]
    with in_background(command, home, {**environment(), **(variables or {})}) as process:
        running = FluxgateRun(process, home, state)
        deadline = time.monotonic() + 60
        while process.poll() is None and "ready:" not in (home / "stdout").read_text():
            if time.monotonic() > deadline:
                raise AssertionError(f"fluxgate run was not ready in 60 s:\n{running.stderr}")
            time.sleep(0.02)
        yield running
