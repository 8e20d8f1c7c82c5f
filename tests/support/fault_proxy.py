"""A TLS proxy in front of an API server that fails in the ways networks and servers fail.

It runs on a thread and event loop of its own, so blocking and asynchronous tests can use it.
It is a real server on a real socket: what is not made to fail goes to the real API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp import web

from support.cluster_files import ClusterFiles, write_kubeconfig
from support.cluster_processes import ReservedPort

T = TypeVar("T")

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s
_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that reached the proxy; ``token`` is the bearer token."""

    method: str
    path: str
    query: Mapping[str, str]
    token: str
    user_agent: str
    at: float
    """``time.monotonic()``, seconds."""

    @property
    def is_watch(self) -> bool:
        """Whether it asked for a stream of events."""
        return self.query.get("watch") in {"1", "true"}


Which = Callable[[Seen], bool]


def anything(_seen: Seen) -> bool:
    """Every request."""
    return True


@dataclass(slots=True)
class _Answer:
    code: int
    retry_after: int | None
    which: Which
    left: int | None
    in_stream: bool = False


@dataclass(slots=True)
class _Stream:
    """A watch under way: ``inject`` holds lines to send and whether the stream ends then."""

    seen: Seen
    inject: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    stranded: bool = False


class FaultProxy:
    """Use as ``with``. ``url`` and ``kubeconfig`` (a cluster admin's) lead through the proxy."""

    def __init__(self, target: str, files: ClusterFiles) -> None:
        self._target = target
        self._files = files
        self._port = ReservedPort()
        self.url = f"https://127.0.0.1:{self._port.number}"
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._changed = threading.Condition()
        self._seen: list[Seen] = []
        self._under_way: list[Seen] = []
        self._streams: list[_Stream] = []
        self._answers: list[_Answer] = []
        self._losses: list[_Answer] = []
        self._flowing = asyncio.Event()

    def kubeconfig_at(self, path: Path, user: Mapping[str, object] | None = None) -> Path:
        """Write a kubeconfig that leads through the proxy; the admin's token by default."""
        entry = dict(user) if user is not None else {"token": self._files.admin_token}
        return write_kubeconfig(path, self.url, self._files.ca, entry)

    @property
    def kubeconfig(self) -> Path:
        """A cluster admin's kubeconfig that leads through the proxy."""
        return self.kubeconfig_at(self._files.folder / f"kubeconfig-proxy-{self._port.number}")

    # faults

    def heal(self) -> None:
        """Stop failing: listen, forward, answer nothing by itself. Cut streams stay cut."""
        self._call(self._heal())

    def answer(
        self,
        code: int,
        *,
        retry_after: int | None = None,
        which: Which = anything,
        times: int | None = None,
        in_stream: bool = False,
    ) -> None:
        """Answer requests (the next ``times`` that match, else all) with a meta/v1 Status.

        ``in_stream``: with 200 and a stream of one ERROR, as a watch of a too old version is.
        """
        self._call(self._add_answer(_Answer(code, retry_after, which, times, in_stream)))

    def lose(self, which: Which = anything, times: int = 1) -> None:
        """Let the next ``times`` matching requests through, and reset them in place of an answer."""
        self._call(self._add_loss(_Answer(0, None, which, times)))

    def refuse(self) -> None:
        """Refuse connections, and reset the ones there are."""
        self._call(self._refuse())

    def cut(self) -> None:
        """Reset the connections there are; new ones work."""
        self._call(self._cut())

    def black_hole(self) -> None:
        """Accept and keep connections, and let nothing through in either direction."""
        self._call(self._black_hole())

    def strand(self, which: Which = anything) -> int:
        """Let nothing through matching watches ever again, without a word; new ones work.

        As when a middlebox forgets a connection. Returns how many there were.
        """
        return self._call(self._strand(which))

    def inject(self, line: Mapping[str, object], which: Which = anything) -> int:
        """Send one event in every matching watch and end it; returns how many there were."""
        return self._call(self._inject(json.dumps(line).encode() + b"\n", which))

    def inject_error(self, code: int, which: Which = anything) -> int:
        """End matching watches with an in-stream ERROR of this code (410: too old version)."""
        return self.inject({"type": "ERROR", "object": _status(code)}, which)

    # observation

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The requests so far, failed ones too."""
        with self._changed:
            return tuple(self._seen)

    def wait_for(self, which: Which, *, count: int = 1, timeout: float = 60.0) -> tuple[Seen, ...]:
        """Block until ``count`` matching requests have arrived since the start."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._count(which) >= count, timeout):
                raise AssertionError(f"{self._count(which)} of {count} requests in {timeout} s")
            return tuple(filter(which, self._seen))

    def settle(self, which: Which, timeout: float = 60.0) -> None:
        """Block until no matching request is under way; watches are for as long as they last."""
        with self._changed:
            over = lambda: not any(map(which, self._under_way))  # noqa: E731
            if not self._changed.wait_for(over, timeout):
                raise AssertionError(f"{self._under_way} are not answered in {timeout} s")

    def _count(self, which: Which) -> int:
        return sum(map(which, self._seen))

    # life

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._port.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _open(self) -> None:
        self._flowing.set()
        upstream = ssl.create_default_context(cafile=str(self._files.ca))
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=upstream, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        self._server = web.Server(self._handle, handler_cancellation=True)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=0.1)
        await self._runner.setup()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        folder = self._files.folder
        self._tls.load_cert_chain(folder / "proxy.crt", folder / "proxy.key")
        await self._listen()

    async def _listen(self) -> None:
        self._site: web.TCPSite | None = web.TCPSite(
            self._runner, "127.0.0.1", self._port.number, ssl_context=self._tls, reuse_port=True
        )
        await self._site.start()

    async def _close(self) -> None:
        # what stands still is not let go on: it would open connections that nobody closes any more
        await self._cut()
        await self._runner.cleanup()
        requests = asyncio.all_tasks() - {asyncio.current_task()}
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        await self._client.close()
        for _ in range(5):  # an aborted connection is closed some turns later
            await asyncio.sleep(0)

    async def _heal(self) -> None:
        self._answers.clear()
        self._losses.clear()
        self._flowing.set()
        if self._site is None:
            await self._listen()

    async def _add_answer(self, answer: _Answer) -> None:
        self._answers.append(answer)

    async def _add_loss(self, answer: _Answer) -> None:
        self._losses.append(answer)

    async def _refuse(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None
        await self._cut()

    async def _cut(self) -> None:
        for connection in self._server.connections:
            if (transport := connection.transport) is None:
                continue
            if not transport.is_closing():
                raw: socket.socket = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    async def _black_hole(self) -> None:
        self._flowing.clear()

    async def _inject(self, line: bytes, which: Which) -> int:
        hit = [stream for stream in self._streams if which(stream.seen)]
        for stream in hit:
            stream.inject.put_nowait(line)
        return len(hit)

    async def _strand(self, which: Which) -> int:
        hit = [stream for stream in self._streams if which(stream.seen)]
        for stream in hit:
            stream.stranded = True
        return len(hit)

    # one request

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        seen = self._note(request)
        try:
            await self._flowing.wait()
            if (answer := _first(self._answers, seen)) is not None:
                return _answered(answer)
            return await self._forward(request, seen)
        except aiohttp.ClientConnectorError:
            return _answered(_Answer(503, None, anything, None))
        finally:
            with self._changed:
                self._under_way = [each for each in self._under_way if each is not seen]
                self._changed.notify_all()

    def _note(self, request: web.BaseRequest) -> Seen:
        seen = Seen(
            request.method,
            request.path,
            dict(request.query),
            request.headers.get("authorization", "").removeprefix("Bearer "),
            request.headers.get("user-agent", ""),
            self._loop.time(),
        )
        with self._changed:
            self._seen.append(seen)
            self._under_way.append(seen)
            self._changed.notify_all()
        return seen

    async def _forward(self, request: web.BaseRequest, seen: Seen) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        body = await request.read()
        async with self._client.request(
            request.method,
            self._target + request.raw_path,
            headers=headers,
            data=body or None,
            allow_redirects=False,
        ) as answer:
            if _first(self._losses, seen) is not None and request.transport is not None:
                await answer.read()
                request.transport.abort()
                return web.Response()  # nobody is there to read it
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            await response.prepare(request)
            stream = _Stream(seen)
            if seen.is_watch:
                self._streams.append(stream)
            try:
                await self._pump(answer.content, response, stream)
            finally:
                with contextlib.suppress(ValueError):
                    self._streams.remove(stream)
                transport = answer.connection.transport if answer.connection else None
                if seen.is_watch and transport is not None:
                    # a stream's farewell would outlast this loop, which may end right now
                    transport.abort()
            await response.write_eof()
            return response

    async def _pump(
        self, source: aiohttp.StreamReader, response: web.StreamResponse, stream: _Stream
    ) -> None:
        injected = asyncio.create_task(stream.inject.get())
        reading = asyncio.create_task(source.readany())
        try:
            while True:
                await asyncio.wait((injected, reading), return_when=asyncio.FIRST_COMPLETED)
                await self._flowing.wait()
                if stream.stranded:
                    await asyncio.Future()  # until the client lets go, which cancels us
                if injected.done():
                    await response.write(injected.result())
                    return
                if not (data := reading.result()):
                    return
                await response.write(data)
                reading = asyncio.create_task(source.readany())
        finally:
            for task in (injected, reading):
                task.cancel()
            await asyncio.gather(injected, reading, return_exceptions=True)


def _first(answers: list[_Answer], seen: Seen) -> _Answer | None:
    """The first that is for this request; it has one time less left."""
    for answer in answers:
        if answer.left != 0 and answer.which(seen):
            if answer.left is not None:
                answer.left -= 1
            return answer
    return None


def _status(code: int) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "made to fail by the test",
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }


def _answered(answer: _Answer) -> web.Response:
    headers = {} if answer.retry_after is None else {"retry-after": str(answer.retry_after)}
    if answer.in_stream:
        error = {"type": "ERROR", "object": _status(answer.code)}
        return web.json_response(error, dumps=lambda each: json.dumps(each) + "\n")
    return web.json_response(_status(answer.code), status=answer.code, headers=headers)
