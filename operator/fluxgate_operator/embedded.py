"""uvicorn inside somebody else's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from fluxgate_operator.impatience import impatient

if TYPE_CHECKING:
    from fluxgate_operator.server_certificate import ServerCertificate


HEAD_SECONDS = 20.0
"""So long a request's line and headers may take to arrive."""


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
    tls: ServerCertificate | None = None,
    grace: int = 1,
    head_seconds: float = HEAD_SECONDS,
) -> AsyncIterator[None]:
    """Serve ``app`` on a bound socket while the context is open; the socket is closed then.

    ``name`` is the task's. With ``tls``, which was entered, by HTTPS; its files are followed. Open requests have ``grace``
    seconds to end, and connections ``head_seconds`` to begin one. What proxies say of a client is for the application to
    believe or not. There are no WebSockets.
    """
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        # Accepted sockets inherit it. asyncio turns Nagle's algorithm off only where the socket says that it
        # speaks TCP, which one of socket.create_server does not; then the body of an answer, sent
        # behind its head, would wait 40 ms for the client's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        app,
        http=impatient(head_seconds),
        ws="none",
        log_config=None,
        # of requests that cannot be read it would write a line each, and nobody limits those
        log_level="error",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=grace,
        proxy_headers=False,
        server_header=False,
    )
    config.load()
    following: asyncio.Task[None] | None = None
    if tls is not None:
        config.ssl = tls.context
        following = asyncio.create_task(tls.run(), name=f"certificate of {name}")
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]), name=name)
    try:
        yield
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        server.should_exit = True
        await task
