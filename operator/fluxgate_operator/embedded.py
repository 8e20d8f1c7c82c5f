"""uvicorn inside somebody else's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM files of a server's certificate, with its chain, and of its key; read at the start."""

    certificate: Path
    key: Path


class _Server(uvicorn.Server):
    """Signals belong to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in uvicorn
        yield


@contextlib.asynccontextmanager
async def serving_app(
    app: Starlette,
    sock: socket.socket,
    name: str,
    *,
    tls: ServerTls | None = None,
    grace: int = 1,
) -> AsyncIterator[None]:
    """Serve ``app`` on a bound socket while the context is open; the socket is closed then.

    ``name`` is the task's. Open requests have ``grace`` seconds to end. What proxies say of a
    client is for the application to believe or not.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # Accepted sockets inherit it. asyncio turns Nagle's algorithm off only where the socket says that it
        # speaks TCP, which one of socket.create_server does not; then the body of an answer, sent
        # behind its head, would wait 40 ms for the client's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=grace,
        proxy_headers=False,
        server_header=False,
        ssl_certfile=tls.certificate if tls is not None else None,
        ssl_keyfile=tls.key if tls is not None else None,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]), name=name)
    try:
        yield
    finally:
        server.should_exit = True
        await task
