"""uvicorn inside somebody else's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette


class _Server(uvicorn.Server):
    """Signals belong to the composition root."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as in uvicorn
        yield


@contextlib.asynccontextmanager
async def serving_app(app: Starlette, sock: socket.socket, name: str) -> AsyncIterator[None]:
    """Serve ``app`` on a bound socket while the context is open; the socket is closed then.

    ``name`` is the task's. Open requests have one second to end.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]), name=name)
    try:
        yield
    finally:
        server.should_exit = True
        await task
