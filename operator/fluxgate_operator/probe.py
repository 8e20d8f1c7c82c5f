"""Asks every worker of an Envoy which snapshot it serves.

The probe listener spreads connections evenly over the workers (exact balance), so one
keep-alive connection for each of them reaches them all. Every answer carries the
version in a header; see :mod:`fluxgate.xds.probe`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fluxgate.ports import NodeState
from fluxgate.xds.names import PROBE_HEADER

_REQUEST = b"GET / HTTP/1.1\r\nhost: fluxgate-probe\r\n\r\n"
_HEADER = PROBE_HEADER.encode() + b":"
_EAGER = 20
"""Attempts without a pause in between: one takes some 60 µs, an update some milliseconds."""
_PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02)
_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """Where an Envoy answers probes, and how many workers it has."""

    host: str
    port: int
    workers: int


def probe_target(node: NodeState) -> ProbeTarget | None:
    """What the node's metadata say; None when it cannot be probed."""
    address = node.metadata.get("fluxgate.io/probe")
    if not isinstance(address, str) or ":" not in address:
        return None
    host, _, port = address.rpartition(":")
    workers = node.metadata.get("fluxgate.io/concurrency", 1)
    if not port.isdigit() or not isinstance(workers, int | float):
        return None
    return ProbeTarget(host.strip("[]"), int(port), max(1, int(workers)))


class Prober:
    """Keeps connections to the workers of one Envoy open between probes."""

    def __init__(self, target: ProbeTarget) -> None:
        self._workers = [_Connection(target) for _ in range(target.workers)]
        self.target = target

    async def prove(self, enough: Callable[[str], bool]) -> None:
        """Return when every worker has answered with a version that is ``enough``."""
        async with asyncio.TaskGroup() as group:
            for worker in self._workers:
                group.create_task(worker.until(enough))

    @property
    def answers(self) -> Mapping[str, int]:
        """How many workers last answered with which version; empty text for no answer."""
        counted: dict[str, int] = {}
        for worker in self._workers:
            counted[worker.version] = counted.get(worker.version, 0) + 1
        return counted

    def close(self) -> None:
        """Close the connections."""
        for worker in self._workers:
            worker.close()


class _Connection:
    def __init__(self, target: ProbeTarget) -> None:
        self._target = target
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.version = ""

    async def until(self, enough: Callable[[str], bool]) -> None:
        attempt = 0
        while True:
            self.version = await self._ask()
            if self.version and enough(self.version):
                return
            attempt += 1
            if attempt >= _EAGER or not self.version:
                await asyncio.sleep(_PAUSES[min(attempt // _EAGER, len(_PAUSES) - 1)])

    async def _ask(self) -> str:
        """The version one request is answered with; empty when there was no answer."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._reader is None or self._writer is None:
                    self._reader, self._writer = await asyncio.open_connection(
                        self._target.host, self._target.port
                    )
                self._writer.write(_REQUEST)
                head = await self._reader.readuntil(b"\r\n\r\n")
                return await self._version_of(self._reader, head)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, ValueError):
            self.close()
            return ""

    async def _version_of(self, reader: asyncio.StreamReader, head: bytes) -> str:
        version, length, close = b"", 0, False
        for line in head.split(b"\r\n"):
            lower = line.lower()
            if lower.startswith(_HEADER):
                version = line.partition(b":")[2].strip()
            elif lower.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            elif lower.startswith(b"connection:"):
                close = b"close" in lower
        if length:
            await reader.readexactly(length)
        if close:
            self.close()
        return version.decode("ascii", "replace")

    def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                writer.close()
