"""Realtime routes: streams that live past the timeouts of everything else.

Every test opens a stream on a realtime route and a call on a plain one, to the same upstream and
with the same short timeout. When Envoy has ended the plain call, the time is over, and the stream
still has to carry bytes both ways.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack

import grpc
import pytest
from support.documents import Documents, gateway, obj
from support.upstream import SilentUpstream
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

pytestmark = pytest.mark.envoy
LIMITS = {"timeouts": {"request": "1s"}, "retry": {"perTryTimeout": "800ms", "retryOn": ["5xx"]}}


def serving(port: int, silent: int, protocol: str = "HTTP1") -> Documents:
    def upstream(name: str, port: int, protocol: str) -> dict:
        targets = [{"host": "127.0.0.1", "port": port}]
        return obj("Upstream", name, {"targets": targets, "protocol": protocol})

    def route(name: str, to: str, path: str, **spec: object) -> dict:
        backends = [{"kind": "Upstream", "name": to}]
        matches = [{"path": {"value": path}}]
        return obj("Route", name, {"matches": matches, "backends": backends, **LIMITS, **spec})

    return Documents(
        gateway(),
        upstream("streams", port, protocol),
        upstream("silent", silent, "HTTP1"),
        route("live", "streams", "/", realtime=True),
        route("short", "streams", "/short"),
        route("clock", "silent", "/clock"),
    )


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    with SilentUpstream() as upstream:
        yield upstream.port


def let_the_timeout_pass(served: Documents) -> None:
    assert served.get("/clock").status == 504


class EventStream:
    """Answers every request with server-sent events: whatever is put into ``events``."""

    def __init__(self) -> None:
        self.events: queue.Queue[bytes] = queue.Queue()
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._sock.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._sock.accept()
            except OSError:
                return
            threading.Thread(target=self._stream, args=(connection,), daemon=True).start()

    def _stream(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            while event := self.events.get():
                try:
                    connection.sendall(event)
                except OSError:
                    return


def test_server_sent_events_go_on_past_the_timeout(silent: int) -> None:
    source = EventStream()
    with ExitStack() as undo:
        undo.callback(source.close)
        served = undo.enter_context(serving(source.port, silent))
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
            client.sendall(b"GET /events HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n")
            source.events.put(b"data: first\n\n")
            received = b""
            while b"first" not in received:
                received += client.recv(65536)
            let_the_timeout_pass(served)
            source.events.put(b"data: second\n\n")
            while b"second" not in received:
                received += client.recv(65536)
            source.events.put(b"")
        assert received.startswith(b"HTTP/1.1 200 ")


def test_a_plain_stream_ends_at_the_timeout(silent: int) -> None:
    source = EventStream()
    with ExitStack() as undo:
        undo.callback(source.close)
        served = undo.enter_context(serving(source.port, silent))
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
            client.sendall(b"GET /short HTTP/1.1\r\nhost: a\r\n\r\n")
            source.events.put(b"data: first\n\n")
            received = b""
            while chunk := client.recv(65536):
                received += chunk
        assert b"first" in received
        assert not received.endswith(b"0\r\n\r\n")
        source.events.put(b"")


@pytest.fixture
def websocket_server() -> Iterator[int]:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join(10)


def test_a_websocket_goes_on_past_the_timeout(websocket_server: int, silent: int) -> None:
    with (
        serving(websocket_server, silent) as served,
        connect(f"ws://127.0.0.1:{served.port}/socket") as client,
    ):
        for message in ("before", "after"):
            client.send(message)
            assert client.recv(timeout=60) == message
            let_the_timeout_pass(served)


def test_a_route_that_is_not_realtime_upgrades_nothing(websocket_server: int, silent: int) -> None:
    with serving(websocket_server, silent) as served:
        upgrade = [("connection", "upgrade"), ("upgrade", "websocket"),
                   ("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]  # fmt: skip
        assert served.get("/short", upgrade).status == 403


@pytest.fixture
def grpc_echo() -> Iterator[int]:
    """A server whose ``/Chat/Talk`` sends back what it gets, both ways for as long as it lasts."""

    def talk(messages: Iterator[bytes], _: object) -> Iterator[bytes]:
        yield from messages

    handler = grpc.method_handlers_generic_handler(
        "Chat", {"Talk": grpc.stream_stream_rpc_method_handler(talk)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


def test_a_grpc_stream_goes_on_past_the_timeout(grpc_echo: int, silent: int) -> None:
    said: queue.Queue[bytes] = queue.Queue()
    with (
        serving(grpc_echo, silent, "GRPC") as served,
        grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel,
    ):
        call = channel.stream_stream("/Chat/Talk")(iter(said.get, b""))
        for message in (b"before", b"after"):
            said.put(message)
            assert next(call) == message
            let_the_timeout_pass(served)
        said.put(b"")
        assert list(call) == []
        assert call.code() is grpc.StatusCode.OK
