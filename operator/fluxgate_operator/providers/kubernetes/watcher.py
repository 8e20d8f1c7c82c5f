"""Supervises the process of kopf, which tells early what changed, and when it listed.

kopf's replay of thousands of objects would hold up any loop that shares an interpreter with it
(docs/decisions/0013), so it has a process of its own, which may die at any time. Then it is
started again after a back-off, and whoever listens lists what may have been missed. Nothing is
in it that would have to be saved, so it is killed when it is not wanted any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Sequence

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.errors import KubeConfigError
from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.back_off import BackOffs
from fluxgate_operator.providers.kubernetes.kopf_process import Order
from fluxgate_operator.providers.kubernetes.told import HEAD, News, Record, Told, unframe

_PROCESS = "fluxgate_operator.providers.kubernetes.kopf_process"
_STABLE_SECONDS = 30.0
_END_SECONDS = 2.0
_CHUNK = 64 * 1024
_LINE = 2000


class KopfWatcher:
    """Runs kopf until cancelled.

    ``told`` is awaited on the loop of :meth:`run` with some news at a time; nothing more is read
    before it returns, and a process that nobody reads waits. So it decides how much of
    a turn of the loop it takes. Raises ``KubeConfigError`` for an access of unknown origin.
    """

    def __init__(
        self,
        access: ClusterAccess,
        types: Sequence[KubeType],
        namespaces: Sequence[str],
        told: Callable[[list[Told]], Awaitable[None]],
        restarted: Callable[[], None],
        log: FilteringBoundLogger,
        *,
        silence: float = 68.0,
    ) -> None:
        if access.origin is None:
            raise KubeConfigError("the process that watches cannot know how to get to the server")
        self._origin = access.origin
        self._types = tuple(types)
        self._namespaces = tuple(namespaces)
        self._silence = silence
        self._told = told
        self._restarted = restarted
        self._log = log
        self._restart = asyncio.Event()
        self._error = ""
        self.restarts = 0
        self.known: set[KubeType] = set()
        """The kinds that kopf has asked for since its start; others it does not know of."""
        self.known_since: float | None = None
        """When it asked for the first of them, in the loop's time; None while it is not there."""

    def restart(self) -> None:
        """Start kopf anew: it looks only at its start at which kinds there are."""
        self._restart.set()

    async def run(self) -> None:
        """Start kopf, and again whenever it ends."""
        loop = asyncio.get_running_loop()
        pauses = iter(BackOffs())
        while True:
            self._restart.clear()
            self._error = ""
            started = loop.time()
            try:
                await self._live()
            except OSError as error:  # no process could be made
                self._error = str(error)
            wanted = self._restart.is_set()
            if loop.time() - started > _STABLE_SECONDS or wanted:
                pauses = iter(BackOffs())
            self.restarts += 1
            pause = next(pauses)
            if not wanted:
                self._log.warning(
                    "the watch ended and is started again", error=self._error, seconds=pause
                )
            await asyncio.sleep(pause)
            self._restarted()

    async def _live(self) -> None:
        """One life: until kopf ends or :meth:`restart` is called."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _PROCESS,
            stdin=PIPE, stdout=PIPE, stderr=PIPE,
            # the same modules, however they were found here
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # what a terminal sends to its foreground processes is not for this one
            start_new_session=True,
        )  # fmt: skip
        stdin, stdout, stderr = _pipes(process)
        repeating = asyncio.create_task(self._repeat(stderr), name="what kopf's process prints")
        following = asyncio.create_task(self._follow(stdout), name="what kopf tells")
        asked = asyncio.create_task(self._asked(), name="restart of kopf")
        try:
            stdin.write(self._order().line())
            await asyncio.wait((following, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.known.clear()
            self.known_since = None
            asked.cancel()
            ending = asyncio.create_task(_end(process, stdout, following, repeating))
            try:
                code = await asyncio.shield(ending)
            except asyncio.CancelledError:
                await ending  # whoever has no time to wait would leave a process behind
                raise
        self._error = self._error or f"its process ended with {code}"
        if not following.cancelled():
            following.result()  # raises what whoever listens has raised

    def _order(self) -> Order:
        return Order(self._origin, self._types, self._namespaces, self._silence, os.getpid())

    async def _asked(self) -> None:
        await self._restart.wait()

    async def _follow(self, stream: asyncio.StreamReader) -> None:
        """Until the process has ended."""
        while True:
            try:
                head = await stream.readexactly(HEAD.size)
                rest = await stream.readexactly(sum(HEAD.unpack(head)))
            except asyncio.IncompleteReadError:
                return
            heard = [self._heard(record) for record in unframe(head, rest)]
            if told := [each for each in heard if each is not None]:
                await self._told(told)
            await asyncio.sleep(0)  # a frame that is here already comes without a turn of the loop

    def _heard(self, record: Record) -> Told | None:
        """What is for us, and what is for others."""
        match record.news:
            case News.SEEN | News.GONE | News.LISTED:
                type_ = self._types[record.kind]
                return Told(
                    record.news, type_, record.namespace, record.name, record.version, record.body
                )
            case News.KNOWN:
                self.known.add(self._types[record.kind])
                if self.known_since is None:
                    self.known_since = asyncio.get_running_loop().time()
            case News.UNHANDLED:
                self._log.debug("kopf left an error unhandled", error=_text(record.body))
            case News.ENDED:
                self._error = _text(record.body)
        return None

    async def _repeat(self, stream: asyncio.StreamReader) -> None:
        """What the process prints goes to our log; nothing is expected there."""
        rest = b""
        while data := await stream.read(_CHUNK):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._print(line)
            if len(rest) > _LINE:
                self._print(rest)
                rest = b""
        self._print(rest)

    def _print(self, line: bytes) -> None:
        if line.strip():
            self._log.warning("the process of the watch says", line=_text(line[:_LINE]))


def _text(given: bytes) -> str:
    return given.decode(errors="replace")


def _pipes(
    process: Process,
) -> tuple[asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamReader]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdin, process.stdout, process.stderr


async def _end(
    process: Process,
    stdout: asyncio.StreamReader,
    following: asyncio.Task[None],
    repeating: asyncio.Task[None],
) -> int | None:
    """Leave neither the process nor a zombie nor an open pipe; returns its exit code.

    Its pipes are read to their ends, because asyncio closes them only then. A program that the
    process has started (for a token) can hold one open for longer: it is not waited for.
    """
    if following.done():  # it is ending by itself
        await asyncio.wait((asyncio.ensure_future(process.wait()),), timeout=_END_SECONDS)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            while await stdout.read(_CHUNK):
                pass
            await repeating
            await process.wait()  # not before: it waits for the pipes as well
    repeating.cancel()
    await asyncio.gather(repeating, return_exceptions=True)
    return process.returncode
