"""``request-size`` and ``limits.maxRequestBodyBytes``, enforced by the real Envoy."""

from __future__ import annotations

import queue
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest
from support.documents import CLOSED, Documents, gateway, obj, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

MOST = 100_000
SMALL = 10
LARGE = 3_000_000
METHOD = "/test.Echo/Stream"


def _stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    del context
    for message in requests:
        yield len(message).to_bytes(4, "big")


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def grpc_port() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.stream_stream_rpc_method_handler(_stream)
    handlers = {"Stream": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def served(echo: EchoUpstream, grpc_port: int) -> Iterator[Documents]:
    def limited(name: str, most: object, **spec: object) -> dict[str, object]:
        return route(name, echo.port, {"request-size": {"maxBytes": most}}, **spec)

    stream = {"url": f"http://127.0.0.1:{grpc_port}", "protocol": "GRPC"}
    documents = (
        gateway(limits={"maxRequestBodyBytes": MOST}),
        route("inherited", echo.port),
        limited("small", SMALL),
        limited("large", LARGE),
        limited("nothing", 0),
        limited("live", SMALL, realtime=True),
        limited("malformed", -1),
        obj("Backend", "stream", stream),
        route("grpc", 0, path="/test.Echo", backends=[{"kind": "Backend", "name": "stream"}]),
    )
    with Documents(*documents) as running:
        yield running


def told(served: Documents, path: str, size: int) -> int:
    """The status for a body whose length is told."""
    return served.get(path, method="POST", body=b"x" * size).status


def chunked(served: Documents, path: str, size: int) -> bytes:
    """The whole answer to a body in chunks, whose length nobody tells."""
    head = f"POST {path} HTTP/1.1\r\nhost: a.example.com\r\ntransfer-encoding: chunked\r\n\r\n"
    step = 16_384
    sizes = [step] * (size // step) + ([size % step] if size % step else [])
    chunks = b"".join(b"%x\r\n%s\r\n" % (each, b"x" * each) for each in sizes)
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
            connection.sendall(head.encode() + chunks + b"0\r\n\r\n")
        return _answer(connection)


def _answer(connection: socket.socket) -> bytes:
    """What comes back, to the end of its body: Envoy keeps a refused connection for a second."""
    answer = b""
    while not (found := re.search(rb"content-length: (\d+)\r\n(?s:.*?)\r\n\r\n", answer)) or len(
        answer
    ) < found.end() + int(found[1]):
        if not (more := connection.recv(65536)):
            break
        answer += more
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("path", "most"),
    [("/small", SMALL), ("/inherited", MOST), ("/large", LARGE), ("/nothing", 0)],
)
def test_a_body_may_have_exactly_as_many_bytes_as_allowed(
    served: Documents, path: str, most: int
) -> None:
    assert [told(served, path, size) for size in (most, most + 1)] == [200, 413]
    assert status_of(chunked(served, path, most)) == 200
    assert status_of(chunked(served, path, most + 1)) == 413


def test_a_refusal_has_the_shape_of_errors_and_the_upstream_sees_nothing(
    served: Documents, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = served.get("/small", method="POST", body=b"x" * (SMALL + 1))
    assert (answer.status, answer.json()["error"]) == (413, "payload_too_large")
    assert set(answer.json()) == {"error", "message", "request_id"}
    for size in (SMALL + 1, MOST, LARGE):
        whole = chunked(served, "/small", size)
        assert status_of(whole) == 413
        assert b'"payload_too_large"' in whole
    assert echo.requests == []


def test_the_body_that_is_let_through_is_whole(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    chunked(served, "/large", LARGE)
    assert [len(seen.body) for seen in echo.requests] == [LARGE]


def test_a_request_without_a_body_passes_everywhere(served: Documents) -> None:
    for path in ("/small", "/nothing", "/inherited", "/live"):
        assert served.get(path).status == 200


def test_the_length_that_is_told_counts_on_realtime_routes_too(served: Documents) -> None:
    assert [told(served, "/live", size) for size in (SMALL, SMALL + 1)] == [200, 413]


def test_a_stream_of_unknown_length_passes_a_realtime_route(served: Documents) -> None:
    assert status_of(chunked(served, "/live", MOST)) == 200


def test_a_websocket_carries_more_than_a_body_may_have(served: Documents) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(
            b"GET /live HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\n"
            b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101")
        for _ in range(10):
            connection.sendall(b"y" * SMALL)
            echoed = b""
            while len(echoed) < SMALL:
                echoed += connection.recv(4096)
            assert echoed == b"y" * SMALL


def test_a_grpc_stream_flows_both_ways_and_past_the_bound(served: Documents) -> None:
    """Each message is answered before the next is sent: nothing waits for the stream's end."""
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        sent.put(b"x" * (MOST // 2))
        sizes = []
        for answer in channel.stream_stream(METHOD)(iter(sent.get, None), timeout=60):
            sizes.append(int.from_bytes(answer, "big"))
            sent.put(b"x" * (MOST // 2) if len(sizes) < 5 else None)
    assert sizes == [MOST // 2] * 5


def test_a_malformed_bound_closes_the_route_and_names_the_field(served: Documents) -> None:
    assert served.get("/malformed").status == CLOSED
    found = served.condition("Route", "malformed")
    assert not found.status
    assert "config.maxBytes" in found.message
