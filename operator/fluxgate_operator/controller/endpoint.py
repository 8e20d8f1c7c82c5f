"""``/livez``, ``/readyz`` and ``/metrics`` of a controller."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fluxgate_operator.embedded import serving_app
from fluxgate_operator.errors import PortTakenError
from fluxgate_operator.metrics import CONTENT_TYPE, ControllerMetrics


class Health(Protocol):
    """What a controller says about itself: empty when it is well, else the reason."""

    def not_live(self) -> str:
        """Why it should be started again."""
        ...

    def not_ready(self) -> str:
        """Why nodes and webhooks should go to another replica."""
        ...

    def troubles(self) -> Sequence[str]:
        """What somebody should look at, whether it is ready or not; a line each."""
        ...


def create_app(health: Health, metrics: ControllerMetrics) -> Starlette:
    """The application. Probes answer 200 or 503, with the reason in the first line.

    ``/readyz`` adds a line for whatever is wrong towards the API server, at 200 too.
    """

    def answer(trouble: str, more: Sequence[str] = ()) -> Response:
        lines = (trouble or "ok", *more)
        return PlainTextResponse("\n".join(lines) + "\n", 503 if trouble else 200)

    async def livez(_: Request) -> Response:
        return answer(health.not_live())

    async def readyz(_: Request) -> Response:
        return answer(health.not_ready(), health.troubles())

    async def scrape(_: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", scrape)]
    )


@contextlib.asynccontextmanager
async def serving_health(app: Starlette, address: str, port: int) -> AsyncIterator[int]:
    """Serve ``app`` while the context is open; gives the port.

    Raises :class:`PortTakenError` when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        sock = socket.create_server((address, port), family=family)
    except OSError as error:
        raise PortTakenError(
            f"HTTP cannot be served on {address}:{port}: {error}; choose another --http-port"
        ) from error
    bound: int = sock.getsockname()[1]
    async with serving_app(app, sock, "health"):
        yield bound
