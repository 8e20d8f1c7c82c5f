"""``response-size``, enforced by the real Envoy: what upstreams may send, and what is left alone."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any

import grpc
import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, obj, route
from support.http2 import http2_request, pseudo
from support.playing_upstream import Http2Answer, Play, chunks, http1, http2
from support.upstream import Answer, EchoUpstream, RefusingUpstream, SeenRequest

pytestmark = pytest.mark.envoy

MOST = 1_000
LARGE = 3_000_000
HELD = 20_000
"""What the route ``roomy`` may hold, because another policy wants it to."""
MESSAGE = "The upstream's answer is larger than this route can hold."
METHOD = "/test.Echo/Stream"
ORIGIN = "https://a.example.com"


def told(seen: SeenRequest) -> Answer:
    """Any answer with a length; the request says which."""
    headers = {"content-type": seen.header("x-type") or "text/plain", "etag": '"v1"'}
    if seen.header("x-encoding"):
        headers["content-encoding"] = seen.header("x-encoding") or ""
    body = b"x" * int(seen.header("x-size") or 0)
    if seen.header("x-encoding") == "gzip":
        body = gzip.compress(body)
    return Answer(int(seen.header("x-status") or 200), headers, body)


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
OPEN = OK + b'content-type: text/plain\r\netag: "v1"\r\ntransfer-encoding: chunked\r\n\r\n'  # fmt: skip


def unknown(size: int) -> Play:
    """An answer in chunks."""
    return lambda connection: connection.sendall(OPEN + chunks(b"x" * size) + b"0\r\n\r\n")


def raw(answer: bytes) -> Play:
    """These bytes, and then the end of the connection."""
    return lambda connection: connection.sendall(answer)


class Unfinished:
    """Sends the beginning of an answer, and then what the test wants; sees when Envoy hangs up."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._connection: socket.socket | None = None

    def __call__(self, connection: socket.socket) -> None:
        self._connection = connection
        connection.sendall(self._beginning)
        self._begun.set()
        with suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
        self._ended.set()

    def send(self, more: bytes) -> None:
        assert self._begun.wait(60)
        assert self._connection is not None
        self._connection.sendall(more)

    def was_left(self) -> bool:
        return self._ended.wait(60)


def length(value: str) -> bytes:
    return OK + f"content-length: {value}\r\n\r\n".encode()


NEVER_SENT = Unfinished(length("1001"))
STREAMED = Unfinished(length("1000"))
ENDLESS = Unfinished(OPEN + chunks(b"x" * 100_000))
EVENTS = Unfinished(
    OK + b"content-type: Text/Event-Stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)
LIVE = Unfinished(OPEN)

PLAYS: dict[str, Play] = {
    **{str(size): unknown(size) for size in (0, 1, 999, 1000, 1001, 20_000, 100_000)},
    **{str(size): unknown(size) for size in (LARGE, LARGE + 1)},
    "until-closed-1000": raw(OK + b"\r\n" + b"x" * 1000),
    "until-closed-1001": raw(OK + b"\r\n" + b"x" * 1001),
    "shorter-than-sent": raw(length("1000") + b"x" * 100_000),
    "negative": raw(length("-1") + b"x" * 2000),
    "hexadecimal": raw(length("0x10") + b"x" * 2000),
    "no-number": raw(length("few") + b"x" * 2000),
    "two-lengths": raw(length("10\r\ncontent-length: 2000") + b"x" * 2000),
    "two-equal-lengths": raw(length("2000\r\ncontent-length: 2000") + b"x" * 2000),
    "length-and-chunks": raw(
        OK + b"content-length: 10\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunks(b"x" * 2000) + b"0\r\n\r\n"
    ),
    "304": raw(b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n"),
    "204": raw(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"),
    "head": raw(length("5000")),
    "head-unknown": raw(OPEN),
    "json": raw(
        OK + b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunks(b'{"a":1}') + b"0\r\n\r\n"
    ),
    "cut": raw(OPEN + chunks(b"x" * 10)),
    "never-sent": NEVER_SENT,
    "streamed": STREAMED,
    "endless": ENDLESS,
    "events": EVENTS,
    "live": LIVE,
}  # fmt: skip

_OK = ((":status", "200"), ("content-type", "text/plain"))
HTTP2: dict[str, Http2Answer] = {
    **{str(size): Http2Answer(_OK, b"x" * size) for size in (0, 1000, 1001, 50_000)},
    "told": Http2Answer((*_OK, ("content-length", "1001")), b"x" * 1001),
    "trailers": Http2Answer(_OK, b"x" * 1000, (("x-sum", "1"),)),
    "large-with-trailers": Http2Answer(_OK, b"x" * 1001, (("x-sum", "1"),)),
    "wrong": Http2Answer((*_OK, ("content-length", "10")), b"x" * 5000),
}


def _stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    del context
    yield from requests


@pytest.fixture(scope="module")
def grpc_port() -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {"Stream": grpc.stream_stream_rpc_method_handler(_stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def limited(name: str, port: int, *more: dict[str, Any], most: object = MOST, **spec: Any) -> dict:
    return route(name, port, {"response-size": {"maxBytes": most}}, *more, **spec)


def plugin(name: str, most: int, kind: str, target: str) -> dict[str, Any]:
    spec = {"type": "response-size", "config": {"maxBytes": most}}
    return obj("Plugin", name, {**spec, "targets": [{"kind": kind, "name": target}]})


def documents(echo: int, plays: int, second: int, grpc_port: int, refusing: int) -> Iterator[dict]:
    """Routes to an upstream that tells lengths (``echo``), one that does not, and others."""
    roomy = {"request-size": {"maxBytes": HELD}}
    grown = {"response-transform": {"body": {"set": {"b": "y" * 2000}}}}
    packed = {"compression": {"contentTypes": ["text/plain"], "minLength": 30}}
    upgrades = {
        "envoy-patch": {"route": {"route": {"upgradeConfigs": [{"upgradeType": "websocket"}]}}}
    }
    browsers = [{"cors": {"allowOrigins": [ORIGIN]}}, {"security-headers": {}}]
    yield gateway(extensions={"allow": ["envoy-patch"]})
    for name, port in (("told", echo), ("unknown", plays)):
        yield limited(name, port)
        yield limited(f"{name}-large", port, most=LARGE)
        yield limited(f"{name}-nothing", port, most=0)
        yield limited(f"{name}-roomy", port, roomy)
        yield limited(f"{name}-packed", port, packed)
        yield limited(f"{name}-grown", port, grown)
        yield limited(f"{name}-live", port, realtime=True)
        yield limited(f"{name}-everything", port, packed, *browsers, grown, {"grpc-web": {}})
        yield limited(f"{name}-upgraded", port, upgrades)
        yield route(f"{name}-open", port)
    by_http2 = {"url": f"http://127.0.0.1:{second}", "protocol": "HTTP2"}
    yield obj("Backend", "second", by_http2)
    yield limited("second", 0, backends=[{"kind": "Backend", "name": "second"}])
    yield obj("Backend", "stream", {"url": f"http://127.0.0.1:{grpc_port}", "protocol": "GRPC"})
    yield limited("grpc", 0, path="/test.Echo", backends=[{"kind": "Backend", "name": "stream"}])
    yield limited("down", refusing, most=0)
    yield limited("private", echo, most=0, auth={})
    yield limited("malformed", echo, most=-1)


@pytest.fixture(scope="module")
def served(grpc_port: int) -> Iterator[Documents]:
    with ExitStack() as stack:
        echo = stack.enter_context(EchoUpstream(respond=told))
        plays = stack.enter_context(http1(PLAYS))
        second = stack.enter_context(http2(HTTP2))
        refusing = stack.enter_context(RefusingUpstream())
        ports = (echo.port, plays.port, second.port, grpc_port, refusing.port)
        yield stack.enter_context(Documents(*documents(*ports)))


def get(served: Documents, path: str, size: int | str, *headers: tuple[str, str]) -> Response:
    """An answer of this size, or one of the plays by its name."""
    return served.get(path, [("x-size", str(size)), ("x-play", str(size)), *headers])


def refused(answer: Response) -> bool:
    """Whether it is a refusal; asserts that it is whole, and nothing of the upstream's is in it."""
    if answer.status != 502:
        return False
    assert answer.json() == {
        "error": "bad_gateway",
        "message": MESSAGE,
        "request_id": answer.header("x-request-id"),
    }
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))
    for name in ("etag", "content-encoding", "transfer-encoding", "x-fluxgate-answered"):
        assert answer.header(name) is None
    return True


@pytest.mark.parametrize("path", ["/told", "/unknown", "/told-roomy", "/unknown-roomy"])
def test_a_body_may_have_exactly_as_many_bytes_as_allowed(served: Documents, path: str) -> None:
    for size in (0, 999, 1000):
        answer = get(served, path, size)
        assert (answer.status, answer.body) == (200, b"x" * size)
        assert answer.header("x-fluxgate-answered") is None
        assert answer.header("etag") == '"v1"'
    assert refused(get(served, path, 1001))


@pytest.mark.parametrize("path", ["/told", "/unknown"])
def test_a_bound_larger_than_envoy_buffers_by_itself_is_exact_too(
    served: Documents, path: str
) -> None:
    assert len(get(served, f"{path}-large", LARGE).body) == LARGE
    assert refused(get(served, f"{path}-large", LARGE + 1))


@pytest.mark.parametrize("path", ["/told", "/unknown", "/told-roomy", "/unknown-roomy"])
@pytest.mark.parametrize("size", [20_000, 100_000, LARGE])
def test_what_is_far_too_large_reads_the_same(served: Documents, path: str, size: int) -> None:
    assert refused(get(served, path, size))


@pytest.mark.parametrize("path", ["/told-nothing", "/unknown-nothing"])
def test_a_bound_of_nothing_lets_empty_answers_pass(served: Documents, path: str) -> None:
    assert get(served, path, 0).status == 200
    assert refused(get(served, path, 1))


@pytest.mark.parametrize("path", ["/told", "/unknown", "/unknown-roomy"])
def test_clients_over_http_2_see_the_same(served: Documents, path: str) -> None:
    def over_http2(size: int) -> Any:
        fields = [*pseudo(path), ("x-size", str(size)), ("x-play", str(size))]
        return http2_request(served.port, fields)

    assert over_http2(1000).body == b"x" * 1000
    for size in (1001, 100_000):
        answer = over_http2(size)
        assert (answer.status, answer.ended) == (502, "ended")
        assert answer.json()["message"] == MESSAGE
        assert answer.json()["request_id"] == dict(answer.headers)["x-request-id"]


def test_what_tells_too_large_a_length_is_refused_before_a_byte_of_it_came(
    served: Documents,
) -> None:
    assert refused(get(served, "/unknown-everything", "never-sent"))
    assert NEVER_SENT.was_left()


def test_what_tells_a_length_within_the_bound_flows_through(served: Documents) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    with closing(connection):
        connection.request("GET", "/unknown", headers={"x-play": "streamed"})
        STREAMED.send(b"a" * 10)
        answer = connection.getresponse()
        assert answer.read(10) == b"a" * 10  # the upstream waits with the rest
        STREAMED.send(b"b" * 990)
        assert answer.read() == b"b" * 990


def test_what_never_ends_is_refused_when_more_came_than_allowed(served: Documents) -> None:
    assert refused(get(served, "/unknown", "endless"))
    assert ENDLESS.was_left()


def test_a_body_that_ends_with_its_connection_is_held_too(served: Documents) -> None:
    assert get(served, "/unknown", "until-closed-1000").body == b"x" * 1000
    assert refused(get(served, "/unknown", "until-closed-1001"))


def test_a_body_that_breaks_off_while_it_is_held_is_no_answer(served: Documents) -> None:
    answer = get(served, "/unknown", "cut")
    assert (answer.status, answer.json()["error"]) == (502, "bad_gateway")


def test_errors_of_the_upstream_are_bounded_too(served: Documents) -> None:
    for status in ("404", "500"):
        assert get(served, "/told", 1000, ("x-status", status)).status == int(status)
        assert refused(get(served, "/told", 1001, ("x-status", status)))


@pytest.mark.parametrize(
    ("path", "status"), [("/down", 502), ("/private", 401), ("/malformed", CLOSED)]
)
def test_answers_of_the_gateway_itself_are_not(served: Documents, path: str, status: int) -> None:
    answer = get(served, path, 0)
    assert answer.status == status
    assert answer.json()["message"] != MESSAGE


class TestLengths:
    """Nobody gets more past the bound by telling a wrong length."""

    def test_more_than_told_is_cut_off_by_envoy(self, served: Documents) -> None:
        assert get(served, "/unknown", "shorter-than-sent").body == b"x" * 1000

    @pytest.mark.parametrize(
        "name", ["negative", "hexadecimal", "no-number", "two-lengths", "length-and-chunks"]
    )
    def test_what_is_no_length_is_refused_by_envoy(self, served: Documents, name: str) -> None:
        answer = get(served, "/unknown", name)
        assert (answer.status, answer.json()["error"]) == (502, "bad_gateway")

    def test_the_same_length_twice_gets_nothing_past_the_bound(self, served: Documents) -> None:
        assert get(served, "/unknown", "two-equal-lengths").status == 502

    def test_over_http_2_what_does_not_keep_to_its_length_is_reset(self, served: Documents) -> None:
        with pytest.raises(http.client.IncompleteRead) as broken:
            get(served, "/second", "wrong")
        assert len(broken.value.partial) <= 10


class TestUpstreamsOverHttp2:
    def test_they_are_bounded_with_and_without_a_length(self, served: Documents) -> None:
        assert get(served, "/second", 1000).body == b"x" * 1000
        for name in ("told", "1001", "50000"):
            assert refused(get(served, "/second", name))

    def test_trailers_pass_behind_what_is_allowed_and_not_behind_a_refusal(
        self, served: Documents
    ) -> None:
        allowed = http2_request(served.port, [*pseudo("/second"), ("x-play", "trailers")])
        assert (allowed.body, allowed.trailers) == (b"x" * 1000, [("x-sum", "1")])
        asked = [*pseudo("/second"), ("x-play", "large-with-trailers")]
        answer = http2_request(served.port, asked)
        assert (answer.status, answer.json()["message"], answer.trailers) == (502, MESSAGE, [])


class TestLeftAlone:
    """What has no body, and streams, which have no end to wait for."""

    @pytest.mark.parametrize("path", ["/told", "/unknown"])
    def test_head(self, served: Documents, path: str) -> None:
        answer = served.get(path, [("x-size", "5000"), ("x-play", "head")], method="HEAD")
        assert (answer.status, answer.header("content-length")) == (200, "5000")

    def test_head_of_what_has_no_length(self, served: Documents) -> None:
        answer = served.get("/unknown", [("x-play", "head-unknown")], method="HEAD")
        assert (answer.status, answer.body) == (200, b"")

    @pytest.mark.parametrize("name", ["204", "304"])
    def test_a_status_without_a_body(self, served: Documents, name: str) -> None:
        assert get(served, "/unknown", name).status == int(name)

    def test_event_streams(self, served: Documents) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        with closing(connection):
            connection.request("GET", "/unknown", headers={"x-play": "events"})
            answer = connection.getresponse()
            for event in (b"data: 1\n\n", b"data: " + b"x" * 5000 + b"\n\n", b"data: 3\n\n"):
                EVENTS.send(chunks(event))
                assert answer.read(len(event)) == event

    def test_grpc(self, served: Documents) -> None:
        """Each message is answered before the next is sent."""
        message = b"x" * 800
        with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
            turn = threading.Semaphore()

            def sent() -> Iterator[bytes]:
                for _ in range(5):
                    assert turn.acquire(timeout=60)
                    yield message

            got = []
            for each in channel.stream_stream(METHOD)(sent(), timeout=60):
                got.append(each)
                turn.release()
        assert got == [message] * 5

    @pytest.mark.parametrize("path", ["/told-live", "/unknown-live"])
    def test_realtime_routes(self, served: Documents, path: str) -> None:
        assert get(served, path, 100_000).body == b"x" * 100_000

    def test_streams_of_any_type_on_realtime_routes(self, served: Documents) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        with closing(connection):
            connection.request("GET", "/unknown-live", headers={"x-play": "live"})
            LIVE.send(chunks(b"a" * 10))
            assert connection.getresponse().read(10) == b"a" * 10

    @pytest.mark.parametrize("path", ["/told-live", "/told-upgraded"])
    def test_websockets(self, served: Documents, path: str) -> None:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
            connection.sendall(
                b"GET "
                + path.encode()
                + b" HTTP/1.1\r\nhost: a.example.com\r\nconnection: upgrade\r\n"
                b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101")
            for _ in range(3):
                connection.sendall(b"y" * MOST)
                echoed = b""
                while len(echoed) < MOST:
                    echoed += connection.recv(4096)

    def test_routes_without_it(self, served: Documents) -> None:
        for path in ("/told-open", "/unknown-open"):
            assert len(get(served, path, LARGE).body) == LARGE


class TestOrder:
    """The bound is for what the upstream sends, not for what the client gets."""

    @pytest.mark.parametrize("path", ["/told-packed", "/unknown-packed"])
    def test_what_the_gateway_would_compress_counts_in_full(
        self, served: Documents, path: str
    ) -> None:
        packed = get(served, path, 1000, ("accept-encoding", "gzip"))
        assert packed.header("content-encoding") == "gzip"
        assert gzip.decompress(packed.body) == b"x" * 1000
        assert refused(get(served, path, 1001, ("accept-encoding", "gzip")))

    def test_what_the_upstream_compressed_counts_as_it_is_sent(self, served: Documents) -> None:
        answer = get(served, "/told", 100_000, ("x-encoding", "gzip"))
        assert gzip.decompress(answer.body) == b"x" * 100_000

    def test_what_a_transform_adds_does_not_count(self, served: Documents) -> None:
        answer = get(served, "/unknown-grown", "json")
        assert (answer.status, len(answer.json()["b"])) == (200, 2000)

    @pytest.mark.parametrize("path", ["/told-grown", "/unknown-grown"])
    def test_a_transform_does_not_lift_the_bound(self, served: Documents, path: str) -> None:
        assert get(served, path, 1000).body == b"x" * 1000
        assert refused(get(served, path, 1001, ("x-type", "application/json")))
        assert refused(get(served, path, 20_000))

    @pytest.mark.parametrize("path", ["/told-everything", "/unknown-everything"])
    @pytest.mark.parametrize("size", [1001, 20_000, LARGE])
    def test_other_filters_see_refusals_without_harm(
        self, served: Documents, path: str, size: int
    ) -> None:
        asked = [("origin", ORIGIN), ("accept-encoding", "gzip")]
        assert refused(get(served, path, size, *asked))
        assert get(served, path, 999).status == 200
        assert served.envoy.stats("envoy_bug") == {"server.envoy_bug_failures": 0}


def test_the_access_log_says_how_a_refusal_came_about() -> None:
    with http1(PLAYS) as plays, EchoUpstream(respond=told) as echo:
        routes = (limited("told", echo.port), limited("unknown", plays.port))
        with Documents(gateway(), *routes) as served:
            for path, size in (("/told", 1001), ("/unknown", 100_000), ("/unknown", 1001)):
                assert refused(get(served, path, size))
            lines = served.envoy.access_log(count=3)
    assert [(line["status"], line["response_code_details"]) for line in lines] == [
        (502, "filter_removed_required_response_headers{missing_required_header:_:status}"),
        (502, "response_payload_too_large"),
        (502, "via_upstream"),
    ]


@pytest.mark.parametrize(
    ("path", "size", "headers"),
    [
        ("/told-everything", 1000, (ORIGIN, "DENY")),
        ("/told-everything", 1001, (None, None)),
        ("/unknown-everything", 1001, (ORIGIN, "DENY")),
        ("/unknown-everything", 100_000, (ORIGIN, "DENY")),
    ],
)
def test_a_refusal_by_the_told_length_has_no_headers_of_other_filters(
    served: Documents, path: str, size: int, headers: tuple[str | None, str | None]
) -> None:
    """What the guide says: at this point, and there alone, Envoy's reply passes no filter any more."""
    answer = get(served, path, size, ("origin", ORIGIN))
    assert answer.status == (200 if size == 1000 else 502)
    seen = (answer.header("access-control-allow-origin"), answer.header("x-frame-options"))
    assert seen == headers


def test_a_malformed_bound_closes_the_route_and_names_the_field(served: Documents) -> None:
    found = served.condition("Route", "malformed")
    assert not found.status
    assert "spec.plugins[0].config.maxBytes" in found.message
    assert get(served, "/malformed", 0).status == CLOSED


@pytest.fixture(scope="module")
def scoped() -> Iterator[Documents]:
    with EchoUpstream(respond=told) as echo:
        url = {"url": f"http://127.0.0.1:{echo.port}"}
        behind = [{"kind": "Backend", "name": "files"}]
        given = (
            gateway(),
            obj("Tenant", "acme", {}),
            obj("Backend", "files", url),
            plugin("everywhere", 4000, "GatewayConfig", "main"),
            plugin("of-acme", 3000, "Tenant", "acme"),
            plugin("of-files", 2000, "Backend", "files"),
            plugin("of-one", 1500, "Route", "one"),
            route("any", echo.port),
            route("tenant", echo.port, tenant="acme"),
            route("files", 0, tenant="acme", backends=behind),
            route("one", 0, backends=behind),
            limited("inline", 0, backends=behind),
            route("off", 0, backends=behind, plugins=[{"type": "response-size", "enabled": False}]),
        )
        with Documents(*given) as running:
            yield running


@pytest.mark.parametrize(
    ("path", "most"),
    [("/any", 4000), ("/tenant", 3000), ("/files", 2000), ("/one", 1500), ("/inline", MOST)],
)
def test_the_nearest_of_several_bounds_counts(scoped: Documents, path: str, most: int) -> None:
    assert len(get(scoped, path, most).body) == most
    assert refused(get(scoped, path, most + 1))


def test_a_route_may_be_without_the_bound_of_its_gateway(scoped: Documents) -> None:
    assert len(get(scoped, "/off", 100_000).body) == 100_000
