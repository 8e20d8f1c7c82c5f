"""Requests as no client of ours writes them, byte by byte over a socket, as the server of the process serves it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event
from support.admin_auth import Api, Records, Signing, auth_api

from fluxgate_admin.db.database import Database
from fluxgate_admin.http.shared import Shared
from fluxgate_operator.embedded import serving_app

BODY = b'{"a": 1}'


@asynccontextmanager
async def port_of(api: Api) -> AsyncIterator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    async with serving_app(api.app, sock, "admin"):
        yield port


def spelled(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A request that asks for its connection to be closed."""
    told = {"host": "admin.test", "connection": "close", **headers}
    if body:
        told["content-length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def answered(port: int, request: bytes) -> bytes:
    """Everything the server says until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    said = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return said


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


async def test_a_request_with_two_lengths_is_one_request_at_most(api: Api, admin: Signing) -> None:
    """What a proxy in front takes for the body of one caller must not be the request of another."""
    hidden = f"GET /v2/things HTTP/1.1\r\nHost: x\r\nX-Fluxgate-Key: {admin.key}\r\n\r\n".encode()
    length = f"Content-Length: {5 + len(hidden)}\r\n".encode()
    start = b"POST /v2/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    async with port_of(api) as port:
        said = await answered(port, start + length + b"\r\n0\r\n\r\n" + hidden)
    assert status(said) == 400
    assert said.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "target",
    [
        "/v2%2fthings",
        "/v2/%2Fthings",
        "/v2/things%5c..",
        "/v2/things/",
        "//v2/things",
        "/v2/./things",
    ],
)
async def test_another_spelling_of_a_path_leads_nowhere(
    api: Api, admin: Signing, target: str
) -> None:
    async with port_of(api) as port:
        said = await answered(port, spelled("GET", target, {"x-fluxgate-key": admin.key}))
    assert status(said) in {400, 404}
    assert b"location:" not in said.lower()


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"]
)
async def test_no_header_makes_a_method_another_one(api: Api, admin: Signing, name: str) -> None:
    async with port_of(api) as port:
        headers = {"x-fluxgate-key": admin.key, name: "GET"}
        written = await answered(port, spelled("POST", "/v2/things", headers, BODY))
        read = await answered(port, spelled("GET", "/v2/auth/keys", {**headers, name: "POST"}))
    assert b"signature_required" in written
    assert status(read) == 200


async def test_no_header_makes_a_path_another_one(api: Api, admin: Signing) -> None:
    names = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path")
    headers = {"x-fluxgate-key": admin.key} | dict.fromkeys(names, "/v2/auth/keys")
    async with port_of(api) as port:
        said = await answered(port, spelled("GET", "/v2/things", headers))
    assert status(said) == 200
    assert b'"caller"' in said


@pytest.mark.parametrize("method", ["get", "Post", "HEAD", "OPTIONS", "TRACE"])
async def test_a_method_is_one_that_is_served_or_none(
    api: Api, admin: Signing, method: str
) -> None:
    headers = {"x-fluxgate-key": admin.key, "origin": "https://elsewhere.example"}
    async with port_of(api) as port:
        said = await answered(port, spelled(method, "/v2/things", headers))
    assert status(said) == 405
    assert b"access-control-" not in said.lower()


async def test_a_signature_is_over_the_spelling_that_was_sent(api: Api, admin: Signing) -> None:
    async with port_of(api) as port:
        signed = api.signed(admin, "POST", "/v2/things/plain", BODY)
        other = await answered(port, spelled("POST", "/v2/things/%70lain", signed, BODY))
        same = api.signed(admin, "POST", "/v2/things/%70lain", BODY)
        taken = await answered(port, spelled("POST", "/v2/things/%70lain", same, BODY))
    assert (status(other), status(taken)) == (401, 200)


async def test_an_upgrade_is_a_request_like_any_other(database: Database) -> None:
    """A WebSocket would pass by what is recorded, and by the limits."""
    records = Records()
    upgrade = {
        "connection": "upgrade, close",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with auth_api(database, records=records) as api, port_of(api) as port:
        said = await answered(port, spelled("GET", "/v2/things", upgrade))
    assert status(said) == 401
    assert [each.status for each in records.records] == [401]


@pytest.mark.parametrize(
    "value", ["\x1b[31mred", "a\tb", "\xff\xfe", "sk_live_\xe9", "x" * 60_000], ids=ascii
)
@pytest.mark.parametrize("name", ["x-fluxgate-key", "authorization", "x-request-id"])
async def test_whatever_a_header_holds_is_neither_shown_nor_believed(
    database: Database, name: str, value: str
) -> None:
    records = Records()
    async with auth_api(database, records=records) as api, port_of(api) as port:
        said = await answered(port, spelled("GET", "/v2/things", {name: value}))
    assert status(said) in {400, 401}
    assert value.encode("latin-1") not in said
    assert all(value not in repr(each) for each in records.records)


async def test_the_key_set_costs_one_query_however_many_ask(sqlite: Database) -> None:
    asked: list[str] = []

    def statement(*args: Any) -> None:
        asked.append(str(args[2]))

    async with auth_api(sqlite) as api:
        await api.client.get("/.well-known/jwks.json")
        api.time.pass_by(seconds=5)
        engine = sqlite._engine.sync_engine
        event.listen(engine, "before_cursor_execute", statement)
        answers = await asyncio.gather(
            *(api.client.get("/.well-known/jwks.json") for _ in range(20))
        )
        event.remove(engine, "before_cursor_execute", statement)
    assert {each.status_code for each in answers} == {200}
    assert len([each for each in asked if "admin_signing_keys" in each]) == 1


async def test_a_shared_answer_is_asked_for_again_when_it_is_old_and_after_a_failure() -> None:
    now, fails, asked = [0.0], [False], [0]

    async def ask() -> int:
        asked[0] += 1
        if fails[0]:
            raise OSError("away")
        return asked[0]

    shared = Shared(ask, 5.0, lambda: now[0])
    assert [await shared.get() for _ in range(3)] == [1, 1, 1]
    now[0] = 5.0
    assert await shared.get() == 2
    now[0], fails[0] = 10.0, True
    answers = await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True)
    assert [str(each) for each in answers] == ["away"] * 3
    assert asked == [3]
    fails[0] = False
    assert await shared.get() == 4
