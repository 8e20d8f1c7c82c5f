"""Servers inside our event loop, over real sockets."""

from __future__ import annotations

import socket

import httpx
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
