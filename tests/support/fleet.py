"""Many upstreams in one thread that only count, and a client that sends thousands of requests.

For tests that state shares and counts: Python's own servers would take a minute for 10,000 requests.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from types import TracebackType
from typing import Self

from support.client import HeaderPairs

_BATCH = 64
"""Requests that wait for an answer on one connection at the same time."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of a fleet's member, by its name; empty when Envoy answered itself."""

    status: int
    upstream: str
    cookies: tuple[str, ...] = ()


class Member:
    """One HTTP/1.1 server of a :class:`Fleet`: answers 200 with its name in a header.

    ``status`` may be changed at any time. ``count`` is how many requests came so far. The
    ``host`` of a Unix socket is ``unix://`` and its path, the ``port`` 0.
    """

    def __init__(self, name: str, sock: socket.socket) -> None:
        self.name = name
        self.sock = sock
        self.status = 200
        self.count = 0
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        place = sock.getsockname()
        self.host = f"unix://{place}" if isinstance(place, str) else str(place[0])
        self.port = 0 if isinstance(place, str) else int(place[1])

    @property
    def target(self) -> dict[str, object]:
        """Itself as a target of an Upstream."""
        return {"host": self.host, **({"port": self.port} if self.port else {})}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. Requests must not have a body."""
        self.connections += 1
        self.open.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.count += 1
                head = f"HTTP/1.1 {self.status} X\r\nx-upstream: {self.name}\r\n"
                writer.write(f"{head}content-length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open.discard(writer)
            writer.close()


class Fleet:
    """Servers by name, on free ports of 127.0.0.1.

    ``places`` says where else: ``host:port`` (``[::1]:0``), or the path of a Unix socket.
    With ``tls`` they speak it.
    """

    def __init__(
        self,
        *names: str,
        places: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self._undo = ExitStack()
        self.members = {name: Member(name, _listen((places or {}).get(name, ""))) for name in names}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._ready = threading.Event()
        self._servers: dict[str, asyncio.Server] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        for member in self.members.values():
            member.sock.close()

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def counts(self) -> dict[str, int]:
        """How many requests each has seen."""
        return {name: member.count for name, member in self.members.items()}

    def targets(self, *names: str) -> list[dict[str, object]]:
        """These members, or all, as targets of an Upstream."""
        return [self.members[name].target for name in names or self.members]

    def stop(self, name: str) -> None:
        """Let one refuse connections from now on, and close those it has."""
        asyncio.run_coroutine_threadsafe(self._stop(name), self._loop).result(10)

    async def _stop(self, name: str) -> None:
        self._servers.pop(name).close()
        for writer in self.members[name].open:
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _start(self) -> None:
        for member in self.members.values():
            self._servers[member.name] = await _serve(member, self._tls)

    async def _end(self) -> None:
        for name in list(self._servers):
            await self._stop(name)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(member: Member, tls: ssl.SSLContext | None) -> asyncio.Server:
    start = asyncio.start_server if member.port else asyncio.start_unix_server
    return await start(member.serve, sock=member.sock, ssl=tls)


def _listen(place: str) -> socket.socket:
    if place.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(place)
    else:
        host, _, port = (place or "127.0.0.1:0").rpartition(":")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.bind((host.strip("[]"), int(port)))
    sock.listen(256)
    return sock


def ask(port: int, requests: Iterable[tuple[str, HeaderPairs]]) -> list[Answered]:
    """Send GETs (path, headers), pipelined; their answers in order.

    An answer of Envoy's own may end a connection: what it did not answer goes over a new one.
    """
    left = [_written(path, headers) for path, headers in requests]
    answers: list[Answered] = []
    while left:
        got = _pipelined(port, left)
        assert got, "a connection without an answer"
        answers += got
        left = left[len(got) :]
    return answers


def _pipelined(port: int, requests: Sequence[bytes]) -> list[Answered]:
    answers: list[Answered] = []
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as connection,
        connection.makefile("rb") as stream,
    ):
        for at in range(0, len(requests), _BATCH):
            batch = requests[at : at + _BATCH]
            connection.sendall(b"".join(batch))
            for _ in batch:
                answer = _read(stream)
                if answer is None:
                    return answers
                answers.append(answer)
    return answers


def tally(answers: Sequence[Answered]) -> Counter[str]:
    """How often each upstream answered; those of Envoy itself count by their status."""
    return Counter(each.upstream or str(each.status) for each in answers)


def same(
    count: int, path: str = "/", *headers: tuple[str, str]
) -> Iterator[tuple[str, HeaderPairs]]:
    """``count`` times the same request."""
    return ((path, headers) for _ in range(count))


def _written(path: str, headers: HeaderPairs) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"GET {path} HTTP/1.1\r\nhost: example.com\r\n{lines}\r\n".encode()


def _read(stream: BufferedReader) -> Answered | None:
    try:
        head = stream.readline()
    except ConnectionResetError:
        return None
    if not head:
        return None
    status = int(head.split()[1])
    upstream, length, cookies = "", 0, []
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(": ")
        if name == "x-upstream":
            upstream = value
        elif name == "content-length":
            length = int(value)
        elif name == "set-cookie":
            cookies.append(value)
    if length:
        stream.read(length)
    return Answered(status, upstream, tuple(cookies))
