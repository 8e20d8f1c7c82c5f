"""Requests that two parsers could read differently: one request in, at most that one out."""

from __future__ import annotations

import pytest
from support.client import answers_to
from support.http2 import http2_request, pseudo
from support.security import World

pytestmark = pytest.mark.envoy

HIDDEN = "GET /hidden HTTP/1.1\r\nhost: x.example.com\r\nx-tenant-id: root\r\n\r\n"
HOST = "host: x.example.com"
LENGTH = len(HIDDEN)
CHUNKED = "transfer-encoding: chunked"
ENDED = "0\r\n\r\n"


def post(*lines: str, body: str) -> str:
    return "\r\n".join(["POST /open HTTP/1.1", HOST, *lines, "", body])


AMBIGUOUS = {
    "length and chunks": post("content-length: 5", CHUNKED, body=ENDED + HIDDEN),
    "chunks and length": post(CHUNKED, "content-length: 5", body=ENDED + HIDDEN),
    "two lengths": post("content-length: 0", f"content-length: {LENGTH}", body=HIDDEN),
    "two lengths, the other way": post(f"content-length: {LENGTH}", "content-length: 0", body=HIDDEN),
    "a list of lengths": post(f"content-length: 0, {LENGTH}", body=HIDDEN),
    "a list of equal lengths": post(f"content-length: {LENGTH}, {LENGTH}", body=HIDDEN),
    "a length with a sign": post(f"content-length: +{LENGTH}", body=HIDDEN),
    "a negative length": post("content-length: -1", body=HIDDEN),
    "a length in hexadecimal": post("content-length: 0x00", body=HIDDEN),
    "a length with a space": post("content-length: 1 0", body=HIDDEN),
    "a length beyond 64 bits": post("content-length: 18446744073709551616", body=HIDDEN),
    "an empty length": post("content-length:", body=HIDDEN),
    "a length with a space before its colon": post("content-length : 0", body=HIDDEN),
    "an underscored length": post(f"content_length: {LENGTH}", "content-length: 0", body=""),
    "chunks with a space before the colon": post(
        "transfer-encoding : chunked", "content-length: 0", body=ENDED + HIDDEN
    ),
    "xchunked": post("transfer-encoding: xchunked", "content-length: 0", body=ENDED + HIDDEN),
    "chunked, then identity": post("transfer-encoding: chunked, identity", body=ENDED + HIDDEN),
    "identity, then chunked": post("transfer-encoding: identity, chunked", body=ENDED + HIDDEN),
    "chunked twice": post(CHUNKED, CHUNKED, body=ENDED + HIDDEN),
    "gzip, then chunked": post("transfer-encoding: gzip, chunked", body=ENDED + HIDDEN),
    "chunked behind a vertical tab": post("transfer-encoding:\x0bchunked", body=ENDED + HIDDEN),
    "chunked with a NUL": post("transfer-encoding: chunked\0", body=ENDED + HIDDEN),
    "chunked in quotes": post('transfer-encoding: "chunked"', body=ENDED + HIDDEN),
    "chunked on a folded line": post("transfer-encoding:\r\n chunked", body=ENDED + HIDDEN),
    "chunked behind a bare line feed": post(f"x-a: b\n{CHUNKED}", "content-length: 0", body=ENDED + HIDDEN),
    "chunked behind a bare carriage return": post(f"x-a: b\r{CHUNKED}", body=ENDED + HIDDEN),
    "chunked in HTTP/1.0": f"POST /open HTTP/1.0\r\n{HOST}\r\n{CHUNKED}\r\n\r\n{ENDED}{HIDDEN}",
    "a chunk size with a sign": post(CHUNKED, body="+0\r\n\r\n" + HIDDEN),
    "a chunk size in hexadecimal notation": post(CHUNKED, body="0x0\r\n\r\n" + HIDDEN),
    "a chunk size with a space": post(CHUNKED, body="0 0\r\n\r\n" + HIDDEN),
    "a chunk size beyond 64 bits": post(CHUNKED, body="10000000000000000\r\n\r\n" + HIDDEN),
    "a chunk that ends in a bare line feed": post(CHUNKED, body="0\n\n" + HIDDEN),
    "a chunk longer than it says": post(CHUNKED, body="1\r\nabc\r\n0\r\n\r\n" + HIDDEN),
    "a chunk extension with a line feed": post(CHUNKED, body="0;a=b\n\r\n" + HIDDEN),
    "two hosts": f"GET /open HTTP/1.1\r\n{HOST}\r\nhost: evil.example.com\r\n\r\n",
    "a host that is a list": "GET /open HTTP/1.1\r\nhost: a.example.com, b.example.com\r\n\r\n",
    "a host with a user": "GET /open HTTP/1.1\r\nhost: x@evil.example.com\r\n\r\n",
    "a host with a path": "GET /open HTTP/1.1\r\nhost: x.example.com/hidden\r\n\r\n",
    "a host with a space": "GET /open HTTP/1.1\r\nhost: x.example.com hidden\r\n\r\n",
    "no host": "GET /open HTTP/1.1\r\n\r\n",
    "a line that begins with a space": f"GET /open HTTP/1.1\r\n x: y\r\n{HOST}\r\n\r\n",
    "a line without a colon": f"GET /open HTTP/1.1\r\n{HOST}\r\nhidden\r\n\r\n",
    "a name with a NUL": f"GET /open HTTP/1.1\r\n{HOST}\r\nx\0y: z\r\n\r\n",
    "a value with a NUL": f"GET /open HTTP/1.1\r\n{HOST}\r\nx: \0\r\n\r\n",
    "a request line with a tab": f"GET\t/open\tHTTP/1.1\r\n{HOST}\r\n\r\n",
    "a request line of two paths": f"GET /open /hidden HTTP/1.1\r\n{HOST}\r\n\r\n",
    "a request line with a NUL": f"GET /open\0 HTTP/1.1\r\n{HOST}\r\n\r\n",
    "a version of its own": f"GET /open HTTP/1.2\r\n{HOST}\r\n\r\n",
    "no version": "GET /open\r\n\r\n",
    "HTTP/3 in words": f"GET /open HTTP/3.0\r\n{HOST}\r\n\r\n",
    "a method with a line break": f"G\nET /open HTTP/1.1\r\n{HOST}\r\n\r\n",
    "an unknown method with a body": f"FOO /open HTTP/1.1\r\n{HOST}\r\n{CHUNKED}\r\n\r\n{ENDED}",
    "a whole URL to another host": f"GET http://evil.example.com/evil HTTP/1.1\r\n{HOST}\r\n\r\n",
    "a whole URL with a user": f"GET http://a@evil.example.com/open HTTP/1.1\r\n{HOST}\r\n\r\n",
    "CONNECT": f"CONNECT x.example.com:80 HTTP/1.1\r\n{HOST}\r\n\r\n",
    "OPTIONS *": f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n\r\n",
    "an upgrade to HTTP/2": (
        f"GET /open HTTP/1.1\r\n{HOST}\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        "http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
    ),
    "an upgrade with a body": (
        f"GET /open HTTP/1.1\r\n{HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        f"content-length: {LENGTH}\r\n\r\n{HIDDEN}"
    ),
    "expect and a body": post("expect: 100-continue", f"content-length: {LENGTH}", body=HIDDEN),
    "an unknown expectation": post("expect: x", "content-length: 0", body=""),
    "a body on GET": f"GET /open HTTP/1.1\r\n{HOST}\r\ncontent-length: {LENGTH}\r\n\r\n{HIDDEN}",
    "TE: trailers and chunked": post("te: trailers, chunked", "content-length: 0", body=""),
    "connection: content-length": post(
        "connection: content-length", f"content-length: {LENGTH}", body=HIDDEN
    ),
    "connection: transfer-encoding": post(
        "connection: transfer-encoding", CHUNKED, body=f"{LENGTH:x}\r\n{HIDDEN}\r\n{ENDED}"
    ),
}  # fmt: skip


LAST = f"GET /last HTTP/1.1\r\n{HOST}\r\nconnection: close\r\n\r\n"
"""Ends the connection where Envoy has understood all before it; elsewhere its timeouts do."""


LENIENT = {
    # chunks whose size line or end Envoy 1.40 reads up to the line feed, whatever else is there
    "a chunk size with a space",
    "a chunk longer than it says",
    # RFC 9112 5.2: a folded line is refused, or its fold becomes a space; Envoy does the latter
    "chunked on a folded line",
}
"""After these Envoy itself goes on reading: what follows is one more request to it as well."""


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_nothing_hidden_in_a_request_becomes_a_request(world: World, case: str):
    answers = answers_to(world.port, (AMBIGUOUS[case] + LAST).encode("latin-1"))
    seen = [each for each in world.public.requests if each.path != "/last"]
    if case not in LENIENT:
        assert [each.path for each in seen] in ([], ["/open"], ["/evil"]), "at most the one request"
    assert len(world.seen()) <= len(answers), (
        "the upstream sees no request that the gateway did not see"
    )
    identifiers = [each.header("x-request-id") for each in world.public.requests]
    assert None not in identifiers
    assert len(set(identifiers)) == len(identifiers)
    for each in world.public.requests:
        assert each.header("x-tenant-id") is None
        assert len(each.all("content-length")) <= 1
        assert not (each.header("content-length") and each.header("transfer-encoding"))
        assert len(each.all("host")) == 1


def test_two_requests_one_behind_the_other_are_two_and_each_needs_its_credential(world: World):
    first = f"GET /keys HTTP/1.1\r\n{HOST}\r\napikey: {world.key}\r\n\r\n"
    second = f"GET /keys HTTP/1.1\r\n{HOST}\r\nconnection: close\r\n\r\n"
    answers = answers_to(world.port, (first + second).encode())
    assert [each.status for each in answers] == [200, 401]
    assert world.seen() == ["/keys"]


class TestHttp2:
    @pytest.mark.parametrize(
        "fields",
        [
            [("content-length", "0")],
            [("content-length", str(LENGTH + 10))],
            [("content-length", "5"), ("content-length", "0")],
            [("transfer-encoding", "chunked")],
            [("transfer-encoding", "chunked"), ("content-length", "0")],
            [("x", "a\r\ntransfer-encoding: chunked")],
            [("x\r\ntransfer-encoding", "chunked")],
            [("x: y\r\ntransfer-encoding", "chunked")],
            [("connection", "close")],
            [("upgrade", "websocket")],
            [("te", "gzip")],
            [("host", "evil.example.com")],
            [(":path", "/hidden")],
            [(":authority", "evil.example.com")],
            [(":method", "GET")],
        ],
        ids=ascii,
    )
    def test_lengths_and_forbidden_fields_split_nothing(
        self, world: World, fields: list[tuple[str, str]]
    ):
        http2_request(world.port, [*pseudo("/open", "POST"), *fields], body=HIDDEN.encode())
        assert world.seen() in ([], ["/open"])
        for seen in world.public.requests:
            assert "evil.example.com" not in repr(seen.headers)
            assert seen.header("transfer-encoding") in (None, "chunked")
            assert seen.body.decode() in (HIDDEN, "")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            (":method", "GET /hidden HTTP/1.1\r\nx: "),
            (":method", ""),
            (":path", ""),
            (":path", "hidden"),
            (":path", "/open HTTP/1.1\r\nhost: x\r\n\r\nGET /hidden"),
            (":path", "/open\0"),
            (":path", "/open\t/hidden"),
            (":authority", "x.example.com\r\nx: y"),
            (":authority", "x.example.com, evil.example.com"),
            (":authority", "x@evil.example.com"),
            (":scheme", "http\r\nx: y"),
            (":scheme", "file"),
        ],
        ids=ascii,
    )
    def test_pseudo_header_fields_hold_one_value_of_their_kind(
        self, world: World, name: str, value: str
    ):
        fields = [(key, value if key == name else given) for key, given in pseudo("/open")]
        answer = http2_request(world.port, fields)
        assert answer.status in (0, 400, 404) or (answer.status == 200 and name == ":scheme")
        assert [path for path in world.seen() if path != "/open"] == []

    def test_a_missing_path_is_no_request(self, world: World):
        fields = [field for field in pseudo() if field[0] != ":path"]
        assert http2_request(world.port, fields).status in (0, 400)
        assert world.seen() == []
