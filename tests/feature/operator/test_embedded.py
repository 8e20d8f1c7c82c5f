"""Servers inside our event loop, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fluxgate_operator.embedded import serving_app


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    async with (
        serving_app(Starlette(routes=[Route("/", _hello)]), sock, "test"),
        httpx.AsyncClient() as client,
    ):
        assert (await client.get(url)).text == "hello"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@asynccontextmanager
async def hurried() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that waits a fifth of a second for a head."""
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    app = Starlette(routes=[Route("/", _hello)])
    async with serving_app(app, sock, "test", head_seconds=0.2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_connection_on_which_no_request_begins_is_closed(begun: bytes) -> None:
    async with hurried() as (reader, writer):
        writer.write(begun)
        assert await asyncio.wait_for(reader.read(), 60) == b""


async def test_neither_is_one_kept_whose_second_request_does_not_come_to_an_end() -> None:
    async with hurried() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await asyncio.wait_for(reader.readuntil(b"hello"), 60)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert first.startswith(b"HTTP/1.1 200 ")
        assert await asyncio.wait_for(reader.read(), 60) == b""


async def test_a_request_that_takes_long_to_answer_is_no_slow_head() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await go.wait()
        return PlainTextResponse("late")

    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    app = Starlette(routes=[Route("/", slow)])
    async with serving_app(app, sock, "test", head_seconds=0.1), httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(url, timeout=60))
        await begun.wait()
        loop = asyncio.get_running_loop()
        passed = asyncio.Event()
        loop.call_later(0.3, passed.set)  # three times what a head may take
        await passed.wait()
        go.set()
        assert (await asking).text == "late"


async def test_a_websocket_is_an_ordinary_request() -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    upgrade = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with (
        serving_app(Starlette(routes=[Route("/", _hello)]), sock, "test"),
        httpx.AsyncClient() as client,
    ):
        answer = await client.get(url, headers=upgrade)
    assert (answer.status_code, answer.text) == (200, "hello")
