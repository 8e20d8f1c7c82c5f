"""``compression``: which answers are compressed, by which algorithm, and what becomes of ETags."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping

import brotli
import pytest
import zstandard
from support.client import Response
from support.documents import Documents, gateway, route
from support.upstream import Answer, EchoUpstream, SeenRequest

from fluxgate.ir.policies.compression import Compression

pytestmark = pytest.mark.envoy
PAGE = b"<p>all the same</p>" * 100
READ: Mapping[str | None, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    None: bytes,
}


def respond(seen: SeenRequest) -> Answer:
    headers = {"content-type": seen.header("x-type") or "text/html", "x-saw": "yes"}
    for name in ("etag", "content-encoding", "cache-control", "vary"):
        if value := seen.header(f"x-{name}"):
            headers[name] = value
    return Answer(int(seen.header("x-status") or 200), headers, PAGE[: int(seen.header("x-length") or 1900)])  # fmt: skip


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    with EchoUpstream(respond=respond) as echo:
        port = echo.port
        documents = (
            gateway(),
            route("all", port, {"compression": {}}),
            route("same", port, {"compression": {}}),
            route("gzip", port, {"compression": {"algorithms": ["gzip"], "minLength": 100,
                                                 "contentTypes": ["text/x-own"]}}),
            route("zstd-first", port, {"compression": {"algorithms": ["zstd", "br"]}}),
            route("skip", port, {"compression": {"etag": "Skip"}}),
            route("changed", port, {"compression": {"minLength": 30}},
                  {"response-transform": {"body": {"set": {"a": "b" * 100}}}}),
            route("plain", port),
            route("bad", port, {"compression": {"algorithms": ["lzma"]}}),
        )  # fmt: skip
        with Documents(*documents) as running:
            yield running


def get(
    served: Documents, path: str, encodings: str | None = None, *headers: tuple[str, str]
) -> Response:
    accepted = [("accept-encoding", encodings)] if encodings is not None else []
    return served.get(path, [*accepted, *headers])


@pytest.mark.parametrize(
    ("path", "accepted", "encoding"),
    [
        ("/all", "gzip", "gzip"),
        ("/all", "br", "br"),
        ("/all", "zstd", "zstd"),
        ("/all", "gzip, deflate, br, zstd", "br"),
        ("/zstd-first", "gzip, br, zstd", "zstd"),
        ("/zstd-first", "gzip", None),
        ("/all", "gzip;q=0.9, br;q=0.1", "gzip"),
        ("/all", "br;q=0, gzip", "gzip"),
        ("/all", "*", "br"),
        ("/all", "identity", None),
        ("/all", "", None),
        ("/all", None, None),
        ("/all", "deflate", None),
        ("/plain", "gzip, br, zstd", None),
    ],
)
def test_the_client_chooses_among_what_the_route_offers(
    served: Documents, path: str, accepted: str | None, encoding: str | None
) -> None:
    answer = get(served, path, accepted)
    assert answer.header("content-encoding") == encoding
    assert READ[encoding](answer.body) == PAGE
    assert answer.header("content-length") == (None if encoding else str(len(PAGE)))


def test_caches_are_told_that_encodings_vary(served: Documents) -> None:
    assert get(served, "/all", "br").header("vary") == "Accept-Encoding"
    assert get(served, "/all").header("vary") == "Accept-Encoding"
    assert get(served, "/plain", "br").header("vary") is None


@pytest.mark.parametrize(
    ("path", "headers", "encoding"),
    [
        ("/all", [("x-length", "1023")], None),
        ("/all", [("x-length", "1024")], "gzip"),
        ("/gzip", [("x-type", "text/x-own"), ("x-length", "100")], "gzip"),
        ("/gzip", [("x-type", "text/html")], None),
        ("/all", [("x-type", "image/png")], None),
        ("/all", [("x-type", "text/event-stream")], None),
        ("/all", [("x-type", "application/json; charset=utf-8")], "gzip"),
        ("/all", [("x-content-encoding", "br")], "br"),
        ("/all", [("x-status", "206")], None),
        ("/all", [("x-status", "404")], "gzip"),
        ("/all", [("x-cache-control", "no-transform")], None),
    ],
)
def test_types_lengths_and_what_is_compressed_already(
    served: Documents, path: str, headers: list[tuple[str, str]], encoding: str | None
) -> None:
    assert get(served, path, "gzip", *headers).header("content-encoding") == encoding


@pytest.mark.parametrize(
    ("path", "etag", "encoding", "after"),
    [
        ("/all", '"strong"', "gzip", 'W/"strong"'),
        ("/all", 'W/"weak"', "gzip", 'W/"weak"'),
        ("/skip", '"strong"', None, '"strong"'),
    ],
)
def test_a_strong_etag_becomes_weak_or_keeps_the_answer_as_it_is(
    served: Documents, path: str, etag: str, encoding: str | None, after: str
) -> None:
    answer = get(served, path, "gzip", ("x-etag", etag))
    assert (answer.header("content-encoding"), answer.header("etag")) == (encoding, after)
    plain = get(served, path, "identity", ("x-etag", etag))
    assert plain.header("etag") == etag


def test_a_changed_body_is_compressed_after_the_change(served: Documents) -> None:
    answer = get(served, "/changed", "gzip", ("x-type", "application/json"), ("x-length", "0"))
    assert answer.body == b""
    withheld = get(served, "/changed", "gzip", ("x-type", "application/json"))
    assert withheld.status == 502
    assert b"not valid JSON" in gzip.decompress(withheld.body)


def test_a_head_request_says_the_same_and_has_no_body(served: Documents) -> None:
    answer = served.get("/all", [("accept-encoding", "gzip")], method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_routes_that_compress_alike_share_their_compressors(served: Documents) -> None:
    assert len(served.gateway.shared_of(Compression)) == 5


def test_a_malformed_config_is_named_and_the_route_served_without(served: Documents) -> None:
    message = served.condition("Route", "bad").message
    assert "spec.plugins[0].config.algorithms[0]" in message
    answer = get(served, "/bad", "gzip")
    assert (answer.status, answer.header("content-encoding")) == (200, None)
