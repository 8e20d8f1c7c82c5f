"""Runs one Envoy: starts it, restarts it with back-off, passes its log on, drains it.

A stopped Envoy is never left behind: its id is in ``envoy.pid``, and a supervisor that
finds one of a predecessor that was killed ends it before it starts its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.envoy.admin import EnvoyAdmin, parse_address
from fluxgate_operator.envoy.backoff import BackOff
from fluxgate_operator.envoy.logs import parse_line, pass_on
from fluxgate_operator.envoy.orphans import end_orphan
from fluxgate_operator.errors import EnvoyAdminError, StateDirError
from fluxgate_operator.settings import EnvoySettings

_LINE_LIMIT = 1024 * 1024
_KEPT_LINES = 40
_POLL = 0.05


class EnvoyState(StrEnum):
    """What the supervised Envoy is doing."""

    STOPPED = "Stopped"
    STARTING = "Starting"
    RUNNING = "Running"
    BACKING_OFF = "BackingOff"
    DRAINING = "Draining"


@dataclass(frozen=True, slots=True)
class EnvoyStatus:
    """The supervised Envoy. ``last_exit`` says how the one before ended."""

    state: EnvoyState
    pid: int | None
    restarts: int
    admin: tuple[str, int] | Path | None
    last_exit: str = ""


class EnvoySupervisor:
    """Keeps one Envoy running until :meth:`stop`.

    ``write_bootstrap`` is called before every start and returns the file to start with.
    """

    def __init__(
        self,
        binary: Path,
        settings: EnvoySettings,
        state_dir: Path,
        write_bootstrap: Callable[[], Path],
        log: FilteringBoundLogger,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._binary = binary
        self._settings = settings
        self._state_dir = state_dir
        self._write_bootstrap = write_bootstrap
        self._log = log
        self._back_off = BackOff(settings.back_off, jitter)
        self._process: asyncio.subprocess.Process | None = None
        self._admin: EnvoyAdmin | None = None
        self._admin_ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._state = EnvoyState.STOPPED
        self._restarts = 0
        self._last_exit = ""
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def status(self) -> EnvoyStatus:
        """The present state."""
        return EnvoyStatus(
            self._state,
            self._process.pid if self._process is not None else None,
            self._restarts,
            self._admin.address if self._admin is not None else None,
            self._last_exit,
        )

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The end of Envoy's log, to explain a failed start."""
        return tuple(self._last_lines)

    async def admin(self) -> EnvoyAdmin:
        """The admin interface, as soon as Envoy has opened it."""
        await self._admin_ready.wait()
        assert self._admin is not None
        return self._admin

    async def run(self) -> None:
        """Start Envoy and restart it whenever it ends, until :meth:`stop` or cancellation."""
        end_orphan(self._pid_file, self._bootstrap_name, self._log)
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                await self._run_once()
                if self._stopping.is_set():
                    break
                delay = self._back_off.next(time.monotonic() - started)
                self._state = EnvoyState.BACKING_OFF
                self._restarts += 1
                self._log.error(
                    "envoy ended; restarting", how=self._last_exit, delay_seconds=round(delay, 3)
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._stopping.wait()
        finally:
            await self._kill()
            self._state = EnvoyState.STOPPED

    async def stop(self) -> None:
        """Drain, then end Envoy: SIGTERM, and SIGKILL when that does not suffice."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._state = EnvoyState.DRAINING
        await self._drain(process)
        await _end(process, self._settings.kill_seconds)

    async def _run_once(self) -> None:
        self._state = EnvoyState.STARTING
        admin_file = self._state_dir / "admin-address"
        admin_file.unlink(missing_ok=True)
        try:
            bootstrap = self._write_bootstrap()
            process = await self._spawn(bootstrap, admin_file)
        except (OSError, StateDirError) as error:
            self._last_exit = f"could not be started: {error}"
            return
        self._process = process
        self._note_pid(process.pid)
        reader = asyncio.create_task(self._pass_log_on(process))
        finder = asyncio.create_task(self._find_admin(process, admin_file))
        try:
            code = await process.wait()
            self._last_exit = _describe(code)
        finally:
            finder.cancel()
            await self._forget_admin()
            if process.returncode is not None:
                await reader
                self._process = None
            else:
                reader.cancel()

    async def _spawn(self, bootstrap: Path, admin_file: Path) -> asyncio.subprocess.Process:
        arguments = [
            *("--config-path", str(bootstrap)),
            *("--admin-address-path", str(admin_file)),
            *("--log-level", self._settings.log_level),
            *("--drain-time-s", str(max(1, round(self._settings.drain_seconds)))),
            "--disable-hot-restart",
        ]
        if self._settings.concurrency:
            arguments += ["--concurrency", str(self._settings.concurrency)]
        return await asyncio.create_subprocess_exec(
            self._binary,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=None,  # the access log's place; it never passes through Python
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,  # Ctrl-C reaches us, and we drain; not Envoy itself
        )

    @property
    def _pid_file(self) -> Path:
        return self._state_dir / "envoy.pid"

    @property
    def _bootstrap_name(self) -> str:
        return str(self._state_dir)

    def _note_pid(self, pid: int) -> None:
        try:
            self._pid_file.write_text(f"{pid}\n")
        except OSError as error:
            self._log.warning("cannot note Envoy's process id", error=str(error))

    async def _pass_log_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                raw = await process.stderr.readline()
            except ValueError:
                continue  # longer than the limit; asyncio has dropped it
            if not raw:
                return
            line = parse_line(raw.decode("utf-8", "replace").rstrip("\n"))
            self._last_lines.append(line.message)
            if self._stopping.is_set() and line.level == logging.WARNING:
                line = replace(line, level=logging.INFO)  # it warns of the end it was asked for
            pass_on(line, self._log, process.pid)

    async def _find_admin(self, process: asyncio.subprocess.Process, admin_file: Path) -> None:
        # Envoy writes this file once, within some 30 ms of its start; inotify would cost more.
        while process.returncode is None:
            try:
                text = admin_file.read_text()  # noqa: ASYNC240 - a few bytes of our own folder
            except OSError:
                text = ""
            if text.strip():
                self._admin = EnvoyAdmin(parse_address(text))
                self._admin_ready.set()
                self._state = EnvoyState.RUNNING
                return
            await asyncio.sleep(_POLL / 10)

    async def _forget_admin(self) -> None:
        admin, self._admin = self._admin, None
        self._admin_ready.clear()
        if admin is not None:
            await admin.close()

    async def _drain(self, process: asyncio.subprocess.Process) -> None:
        """Let open requests end, for at most ``drain_seconds``."""
        if self._admin is None or self._settings.drain_seconds <= 0:
            return
        admin = self._admin
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                await admin.drain()
                while process.returncode is None and await admin.active_requests() > 0:  # noqa: ASYNC110 - Envoy has no event for it
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            self._log.warning(
                "requests still open at the end of the drain time are cut",
                drain_seconds=self._settings.drain_seconds,
            )
        except EnvoyAdminError as error:
            self._log.warning("cannot drain", error=str(error))

    async def _kill(self) -> None:
        """The last resort when the supervisor itself is cancelled."""
        process = self._process
        if process is not None and process.returncode is None:
            await asyncio.shield(_end(process, self._settings.kill_seconds))
        with contextlib.suppress(OSError):
            self._pid_file.unlink(missing_ok=True)


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _describe(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"killed by {name}"
    return f"exit code {code}"
