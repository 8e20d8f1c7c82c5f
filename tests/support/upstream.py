"""Upstreams for tests, in process: one that echoes, and the ways an upstream can be broken."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as the upstream saw it; header names in lower case, in the order received."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next(iter(self.all(name)), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a header."""
        return tuple(value for key, value in self.headers if key == name.lower())


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream answers. ``abort`` resets the connection after the headers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    abort: bool = False


Responder = Callable[[SeenRequest], Answer]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that break are what these tests are about."""


class _Upstream:
    """A threaded TCP server on a free port of 127.0.0.1, closed with its connections."""

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.upstream = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    host = "127.0.0.1"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                _shutdown(connection)

    def track(self, connection: socket.socket) -> None:
        """Remember a connection, to end it on close."""
        with self._lock:
            self._open.add(connection)

    def forget(self, connection: socket.socket) -> None:
        """The connection is over."""
        with self._lock:
            self._open.discard(connection)


def _shutdown(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _EchoHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.server.upstream.track(self.request)  # type: ignore[attr-defined]
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.server.upstream.forget(self.request)  # type: ignore[attr-defined]

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _serve(self) -> None:
        upstream: EchoUpstream = self.server.upstream  # type: ignore[attr-defined]
        seen = SeenRequest(
            self.command,
            self.path,
            tuple((name.lower(), value) for name, value in self.headers.items()),
            self._body(),
        )
        upstream.record(seen)
        if seen.header("upgrade") == "websocket":
            self._upgrade()
            return
        answer = upstream.respond(seen)
        body = upstream.describe(seen) if answer.body is None else answer.body
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.body is None:
            self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) + (1000 if answer.abort else 0)))
        self.end_headers()
        if answer.abort:
            _reset(self.request)
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _upgrade(self) -> None:
        """A raw echo behind a 101: enough to see that bytes flow both ways."""
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.end_headers()
        while chunk := self.request.recv(65536):
            self.request.sendall(chunk)
        self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class EchoUpstream(_Upstream):
    """Answers 200 with the request as JSON: ``upstream method path headers body``.

    ``headers`` is a list of pairs in the order received, ``body`` text. The request
    header ``x-echo-status`` chooses the status. ``respond`` replaces the behaviour;
    ``requests`` is everything seen so far. A WebSocket upgrade gets 101 and its bytes back.
    """

    def __init__(self, name: str = "echo", respond: Responder | None = None) -> None:
        super().__init__(_EchoHandler)
        self.name = name
        self.respond: Responder = respond or _by_header
        self._requests: list[SeenRequest] = []

    @property
    def requests(self) -> list[SeenRequest]:
        """Every request seen so far."""
        with self._lock:
            return list(self._requests)

    def record(self, seen: SeenRequest) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(seen)

    def clear(self) -> None:
        """Forget the requests seen so far."""
        with self._lock:
            self._requests.clear()

    def describe(self, seen: SeenRequest) -> bytes:
        """The body of the echo."""
        return json.dumps(
            {
                "upstream": self.name,
                "method": seen.method,
                "path": seen.path,
                "headers": seen.headers,
                "body": seen.body.decode("latin-1"),
            }
        ).encode()


def _by_header(seen: SeenRequest) -> Answer:
    return Answer(int(seen.header("x-echo-status") or 200))


def _reset(connection: socket.socket) -> None:
    """End a connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class _RawHandler(socketserver.BaseRequestHandler):
    def setup(self) -> None:
        self.server.upstream.track(self.request)  # type: ignore[attr-defined]

    def handle(self) -> None:
        if self.request.recv(65536):
            self.server.upstream.count()  # type: ignore[attr-defined]
            self.server.upstream.act(self.request)  # type: ignore[attr-defined]

    def finish(self) -> None:
        self.server.upstream.forget(self.request)  # type: ignore[attr-defined]


class _BrokenUpstream(_Upstream, ABC):
    """Counts what arrives in ``seen`` and then misbehaves."""

    def __init__(self) -> None:
        super().__init__(_RawHandler)
        self.seen = 0

    def count(self) -> None:
        """One more request arrived."""
        with self._lock:
            self.seen += 1

    @abstractmethod
    def act(self, connection: socket.socket) -> None:
        """Misbehave."""


class ResettingUpstream(_BrokenUpstream):
    """Reads the request and resets the connection before any answer."""

    def act(self, connection: socket.socket) -> None:
        _reset(connection)


class GarbageUpstream(_BrokenUpstream):
    """Answers with bytes that are not HTTP."""

    def act(self, connection: socket.socket) -> None:
        connection.sendall(b"\x00\x01 this is not HTTP \x02\r\n\r\n")


class MidResponseResetUpstream(_BrokenUpstream):
    """Sends the headers and half a body, then resets the connection."""

    def act(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
        _reset(connection)


class SilentUpstream(_BrokenUpstream):
    """Takes the request and never answers."""

    def act(self, connection: socket.socket) -> None:
        while connection.recv(65536):
            pass


class RefusingUpstream:
    """A port that is taken and where nothing listens: every connection is refused."""

    host = "127.0.0.1"

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()
