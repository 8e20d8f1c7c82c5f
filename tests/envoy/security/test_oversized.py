"""Too much of anything is refused with its own status, and the gateway goes on."""

from __future__ import annotations

import socket
import time

import pytest
from support.client import answers_to
from support.http2 import http2_request, pseudo
from support.security import World
from support.tokens import Issuer

pytestmark = pytest.mark.envoy

KIB = 1024
HEADERS_KIB = 60
"""GatewayConfig.limits: maxRequestHeadersKib and maxHeaders, by default."""
HEADERS = 100


@pytest.fixture(autouse=True)
def _goes_on(world: World):
    """Whatever a test sends: the next request is served by the same process."""
    pid = world.served.envoy.pid
    yield
    assert world.get("/open").status == 200
    assert (world.served.envoy.pid, world.served.envoy.alive()) == (pid, True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("x-a", "a" * 50 * KIB)], 200),
        ([("x-a", "a" * HEADERS_KIB * KIB)], 431),
        ([("x-a", "a" * KIB * KIB)], 431),
        ([("x" * HEADERS_KIB * KIB, "a")], 431),
        ([(f"x-{n}", "a") for n in range(HEADERS - 10)], 200),
        ([(f"x-{n}", "a") for n in range(HEADERS + 1)], 431),
        ([("x-a", "a")] * 500, 431),
        ([("cookie", f"c{n}={'a' * 4000}") for n in range(20)], 431),
        ([("authorization", "Bearer " + "a" * HEADERS_KIB * KIB)], 431),
        ([("apikey", "a" * HEADERS_KIB * KIB)], 431),
        ([("connection", "x-a, " * 15000)], 431),
    ],
    ids=lambda value: value if isinstance(value, int) else f"{len(value)} of {len(value[0][1])}",
)
def test_headers_are_bounded_in_size_and_number(
    world: World, headers: list[tuple[str, str]], status: int
):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    head = f"GET /open HTTP/1.1\r\nhost: x.example.com\r\n{lines}connection: close\r\n\r\n"
    answers = answers_to(world.port, head.encode())
    # where the client is still sending, the connection may be reset before it reads the answer
    assert [each.status for each in answers] in ([status], [] if status == 431 else [status])
    assert len(world.seen()) == (status == 200)


@pytest.mark.parametrize(
    "fields",
    [
        [("x-a", "a" * HEADERS_KIB * KIB)],
        [(f"x-{n}", "a") for n in range(HEADERS + 1)],
        [("cookie", f"c{n}={'a' * 4000}") for n in range(20)],
    ],
    ids=lambda value: f"{len(value)} of {len(value[0][1])}",
)
def test_http2_fields_are_bounded_too(world: World, fields: list[tuple[str, str]]):
    answer = http2_request(world.port, [*pseudo("/open"), *fields])
    assert answer.status in (0, 431)
    assert world.seen() == []


@pytest.mark.parametrize("size", [100, 8 * KIB, 50 * KIB])
def test_a_long_url_passes_as_far_as_headers_may_go(world: World, size: int):
    assert world.get(f"/open/{'a' * size}").status == 200
    assert world.get(f"/open?{'a' * size}").status == 200


@pytest.mark.parametrize("path", ["/open/" + "a" * 70_000, "/open?" + "a" * 70_000, "/" * 70_000])
def test_a_longer_url_is_refused(world: World, path: str):
    request = f"GET {path} HTTP/1.1\r\nhost: x.example.com\r\nconnection: close\r\n\r\n"
    answers = answers_to(world.port, request.encode())
    assert [each.status for each in answers] in ([431], [414], [])
    assert world.seen() == []


@pytest.mark.parametrize("path", ["/../" * 10_000, "/a/.." * 8_000, "//" * 20_000, "/%2e" * 10_000])
def test_a_path_that_is_all_normalisation_costs_little(world: World, path: str):
    request = f"GET {path} HTTP/1.1\r\nhost: x.example.com\r\nconnection: close\r\n\r\n"
    before = world.served.envoy.cpu_seconds
    (answer,) = answers_to(world.port, request.encode())
    assert answer.status in (200, 400, 404)
    assert world.served.envoy.cpu_seconds - before < 2


@pytest.mark.parametrize("size", [257, 4 * KIB, 50 * KIB])
@pytest.mark.parametrize("path", ["/keys", "/private", "/optional"])
def test_a_long_key_is_an_unknown_key(world: World, path: str, size: int):
    for header in (("apikey", "k" * size), ("authorization", f"Bearer flc_service_{'k' * size}")):
        assert world.get(path, [header]).status == 401
    assert world.seen() == []


@pytest.mark.parametrize("path", ["/tokens", "/private", "/optional"])
def test_a_large_good_token_passes_and_a_larger_one_is_refused(
    world: World, rsa_issuer: Issuer, path: str
):
    assert world.get(path, [rsa_issuer.bearer(filler="a" * 20 * KIB)]).status == 200
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    assert world.get(path, [rsa_issuer.bearer(deep=deep)]).status in (200, 401)
    many = {f"claim-{n}": n for n in range(1000)}
    assert world.get(path, [rsa_issuer.bearer(**many)]).status == 200
    world.clear()
    huge = rsa_issuer.token(filler="a" * 60 * KIB)
    request = f"GET {path} HTTP/1.1\r\nhost: x.example.com\r\nauthorization: Bearer {huge}\r\n\r\n"
    assert [each.status for each in answers_to(world.port, request.encode())] in ([431], [])
    assert world.seen() == []


def test_identity_of_a_token_is_bounded_before_it_is_counted_by(world: World, rsa_issuer: Issuer):
    for claim in ("sub", "tenant", "role", "workspace"):
        assert world.get("/tokens", [rsa_issuer.bearer(**{claim: "a" * 256})]).status == 200
        assert world.get("/tokens", [rsa_issuer.bearer(**{claim: "a" * 257})]).status == 401
        # a character that is encoded counts as what it becomes
        assert world.get("/tokens", [rsa_issuer.bearer(**{claim: " " * 86})]).status == 401


def test_a_query_of_many_parameters_is_searched_quickly(world: World):
    query = "&".join(f"a{n}=1" for n in range(6_000))
    before = world.served.envoy.cpu_seconds
    assert world.get(f"/realtime?{query}&apikey={world.key}").status == 200
    assert world.served.envoy.cpu_seconds - before < 2


def test_many_cookies_do_not_hide_a_request(world: World):
    cookies = "; ".join(f"c{n}=1" for n in range(5_000))
    assert world.get("/keys", [("cookie", cookies), ("apikey", world.key)]).status == 200


def test_a_chunk_that_announces_more_than_memory_is_no_allocation(world: World):
    head = "POST /open HTTP/1.1\r\nhost: x.example.com\r\ntransfer-encoding: chunked\r\n\r\n"
    answers = answers_to(world.port, (head + "7fffffffffffffff\r\nabc").encode())
    assert [each.status for each in answers] in ([408], [504], [])
    assert world.served.envoy.stats("server.memory_allocated")["server.memory_allocated"] < 2**30


def test_headers_that_come_a_byte_at_a_time_are_ended_in_time(world: World):
    """GatewayConfig.limits.clientHeaderTimeout, half a second here."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", world.port), timeout=60) as connection:
        connection.sendall(b"GET /open HTTP/1.1\r\nhost: x.example.com\r\nx-a: ")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408") or answer == b""
    assert time.monotonic() - begin < 5
    assert world.seen() == []
