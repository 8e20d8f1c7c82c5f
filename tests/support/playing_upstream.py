"""Upstreams that send exactly the bytes a test wants: over HTTP/1.1 and over HTTP/2."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import h2.config
import h2.connection
import h2.events

Play = Callable[[socket.socket], None]
Pairs = Sequence[tuple[str, str]]

PLAY_HEADER = "x-play"
"""The request header that names what is played."""


def chunks(body: bytes, size: int = 16_384) -> bytes:
    """A body as chunks (RFC 9112, 7.1), without the last, empty one."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in parts)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An Envoy that hangs up is what these tests are about."""


class PlayingUpstream:
    """Serves connections on a free port of 127.0.0.1, each by ``serve`` in a thread of its own."""

    host = "127.0.0.1"

    def __init__(self, serve: Play) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                serve(self.request)

        self._server = _Server((self.host, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

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


def http1(plays: Mapping[str, Play]) -> PlayingUpstream:
    """Reads the head of one request, plays what its ``x-play`` names, and hangs up.

    So an answer has to say ``connection: close``, lest another request takes the connection.
    """

    def serve(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := connection.recv(65536)):
                return
            head += more
        lines = head.decode("latin-1").lower().split("\r\n")
        wanted = next(line for line in lines if line.startswith(f"{PLAY_HEADER}:"))
        plays[wanted.partition(":")[2].strip()](connection)

    return PlayingUpstream(serve)


@dataclass(frozen=True, slots=True)
class Http2Answer:
    """What is sent over HTTP/2, well-formed or not; the body has to fit one window (65,535 bytes)."""

    headers: Pairs
    body: bytes = b""
    trailers: Pairs = ()


def http2(answers: Mapping[str, Http2Answer]) -> PlayingUpstream:
    """Answers every request of a connection with what its ``x-play`` names."""
    config = h2.config.H2Configuration(
        client_side=False, header_encoding="latin-1", validate_outbound_headers=False
    )

    def serve(connection: socket.socket) -> None:
        stream = h2.connection.H2Connection(config)
        stream.initiate_connection()
        connection.sendall(stream.data_to_send())
        while received := connection.recv(65536):
            for event in stream.receive_data(received):
                if isinstance(event, h2.events.RequestReceived):
                    wanted = dict(event.headers or [])[PLAY_HEADER]
                    _answer(stream, event.stream_id or 0, answers[str(wanted)])
            connection.sendall(stream.data_to_send())

    return PlayingUpstream(serve)


def _answer(stream: h2.connection.H2Connection, number: int, answer: Http2Answer) -> None:
    stream.send_headers(number, list(answer.headers))
    size = stream.max_outbound_frame_size
    for at in range(0, len(answer.body), size):
        stream.send_data(number, answer.body[at : at + size])
    if answer.trailers:
        stream.send_headers(number, list(answer.trailers), end_stream=True)
    else:
        stream.end_stream(number)
