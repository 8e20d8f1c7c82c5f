"""Containers by runc: start, signal, run a command inside, and what they wrote."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUNC = "runc"


class Container:
    """One container; its output goes to ``folder/log``."""

    def __init__(self, state: Path, identity: str, folder: Path) -> None:
        self._state = state
        self._identity = identity
        self.folder = folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """Standard output and error, of all its starts."""
        return self.folder / "log"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode if self._process is not None else None

    async def start(self, config: Mapping[str, Any]) -> None:
        """Run it; a container that ended may be started again."""
        await self._runc("delete", "--force", self._identity)
        (self.folder / "config.json").write_text(json.dumps(config))
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                RUNC,
                "--root",
                str(self._state),
                "run",
                "--bundle",
                str(self.folder),
                self._identity,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def exec(self, command: Sequence[str], seconds: float) -> int:
        """The exit code of a command inside (probes and hooks of the kind ``exec``)."""
        process = await asyncio.create_subprocess_exec(
            RUNC,
            "--root",
            str(self._state),
            "exec",
            self._identity,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(seconds):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return 124

    async def output(self, command: Sequence[str], seconds: float) -> tuple[int, str, str]:
        """The exit code of a command inside, and what it wrote to standard output and standard error."""
        process = await asyncio.create_subprocess_exec(
            RUNC,
            "--root",
            str(self._state),
            "exec",
            self._identity,
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
        return process.returncode or 0, output.decode(), errors.decode()

    async def kill(self, number: signal.Signals) -> None:
        """Send a signal to its first process."""
        if self.running:
            await self._runc("kill", self._identity, str(int(number)))

    async def stop(self, grace: float) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds."""
        await self.kill(signal.SIGTERM)
        if self._process is not None:
            try:
                async with asyncio.timeout(grace):
                    await self._process.wait()
            except TimeoutError:
                await self.kill(signal.SIGKILL)
                await self._process.wait()
        await self._runc("delete", "--force", self._identity)

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        if self._process is None:
            raise RuntimeError(f"{self._identity} was never started")
        return await self._process.wait()

    async def _runc(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            RUNC,
            "--root",
            str(self._state),
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()


async def end_all(state: Path) -> None:
    """Kill and delete every container below ``state``."""
    listing = await asyncio.create_subprocess_exec(
        RUNC, "--root", str(state), "list", "--quiet", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await listing.communicate()
    for identity in output.decode().split():
        process = await asyncio.create_subprocess_exec(
            RUNC, "--root", str(state), "delete", "--force", identity
        )
        await process.wait()
