"""WebSockets through the gateway, with the ``websockets`` package at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import websockets
from support.certificates import Authority
from support.documents import Documents, gateway, obj, route, tls_secret
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
AUTHORITY = Authority()
LISTENERS = [
    {"name": "http", "port": 8080, "address": "127.0.0.1"},
    {
        "name": "https",
        "port": 8443,
        "address": "127.0.0.1",
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "cert"}]},
    },
]
IDLE = 0.3


class EchoServer:
    """Echoes every message, and remembers how connections ended."""

    def __init__(self) -> None:
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        self.headers: dict[str, str] = {}

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.headers = dict(connection.request.headers.raw_items())
        with contextlib.suppress(websockets.ConnectionClosedError):
            async for message in connection:
                if message == "bye":
                    await connection.close(4001, "as asked")
                else:
                    await connection.send(message)
        await self.closed.put((connection.close_code, connection.close_reason))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def echo() -> EchoServer:
    return EchoServer()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def upstream(echo: EchoServer) -> AsyncIterator[Server]:
    async with serve(echo.handle, "127.0.0.1", 0, subprotocols=["chat.v2"]) as server:  # type: ignore[list-item]
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(upstream: Server) -> AsyncIterator[Documents]:
    port = upstream.sockets[0].getsockname()[1]
    with Documents(
        gateway(listeners=LISTENERS),
        tls_secret("cert", AUTHORITY.issue("localhost")),
        route("live", port, realtime=True, timeouts={"request": "100ms"}),
        route("plain", port),
        route("keyed", port, realtime=True, auth={"mode": "Required"}),
        obj("Tenant", "unused", {}),
    ) as running:
        yield running


def connecting(
    served: Documents, path: str = "/live", scheme: str = "ws", **fields: object
) -> connect:
    fields = {"subprotocols": ["chat.v2"], **fields}
    if scheme == "wss":
        trusted = ssl.create_default_context(cadata=AUTHORITY.pem.decode())
        return connect(f"wss://localhost:{served.envoy.port('https')}{path}", ssl=trusted, **fields)  # type: ignore[arg-type]
    return connect(f"ws://127.0.0.1:{served.port}{path}", **fields)  # type: ignore[arg-type]


@pytest_asyncio.fixture(loop_scope="module", params=["ws", "wss"])
async def client(
    served: Documents, request: pytest.FixtureRequest
) -> AsyncIterator[ClientConnection]:
    async with connecting(served, scheme=request.param) as made:
        yield made


async def test_text_and_bytes_go_there_and_back(client: ClientConnection) -> None:
    for message in ("hello", b"\x00\xff", "\u2603" * 1000, b"x" * 1_000_000):
        await client.send(message)
        assert await client.recv() == message


async def test_the_subprotocol_is_agreed_upon_by_the_ends(client: ClientConnection) -> None:
    assert client.subprotocol == "chat.v2"


async def test_pings_are_answered_by_the_other_end(client: ClientConnection) -> None:
    await asyncio.wait_for(await client.ping(), 60)


async def test_the_servers_close_code_arrives(client: ClientConnection, echo: EchoServer) -> None:
    await client.send("bye")
    with pytest.raises(websockets.ConnectionClosedError):
        await client.recv()
    assert (client.close_code, client.close_reason) == (4001, "as asked")
    assert await ended(echo) == (4001, "as asked")


async def ended(echo: EchoServer) -> tuple[int | None, str | None]:
    """How the next connection ended that did not end as clients do when they leave (1000)."""
    while (found := await asyncio.wait_for(echo.closed.get(), 60))[0] == 1000:
        pass
    return found


async def test_the_clients_close_code_arrives(served: Documents, echo: EchoServer) -> None:
    async with connecting(served) as client:
        await client.close(4002, "enough")
    assert await ended(echo) == (4002, "enough")


async def test_a_connection_outlives_the_timeout_of_a_request(served: Documents) -> None:
    async with connecting(served) as client:
        loop = asyncio.get_running_loop()
        until = loop.time() + IDLE  # three times the route's timeout
        while loop.time() < until:
            await client.send("still there")
            assert await client.recv() == "still there"


async def test_the_gateway_says_who_asks_as_for_any_request(
    served: Documents, echo: EchoServer
) -> None:
    async with connecting(served, additional_headers={"x-tenant-id": "forged"}):
        pass
    assert "x-request-id" in echo.headers
    assert "x-forwarded-for" in echo.headers
    assert "forged" not in echo.headers.values()


@pytest.mark.parametrize(("path", "status"), [("/plain", 403), ("/keyed", 401), ("/none", 404)])
async def test_an_upgrade_is_refused_like_a_request(
    served: Documents, path: str, status: int
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connecting(served, path):
            pass
    assert refused.value.response.status_code == status
