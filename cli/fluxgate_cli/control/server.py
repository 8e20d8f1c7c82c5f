"""The control API's server: a Starlette application over one running instance."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fluxgate_cli.control.models import (
    ErrorReply,
    ExplainReply,
    ExplainRequest,
    StatusView,
    UpstreamsView,
    WaitReply,
    WaitRequest,
)
from fluxgate_cli.control.socket import NAME, bind
from fluxgate_cli.errors import CliError
from fluxgate_operator.embedded import serving_app

MAX_BODY = 1024 * 1024
M = TypeVar("M", bound=BaseModel)


class Instance(Protocol):
    """What the control API needs of a running gateway."""

    def status(self) -> StatusView:
        """Everything about the instance at this moment."""
        ...

    async def wait(self, request: WaitRequest) -> WaitReply:
        """Wait for what the folder says now to be served everywhere, or for the timeout."""
        ...

    def upstreams(self) -> UpstreamsView:
        """How the targets of every pool are."""
        ...

    def explain(self, request: ExplainRequest) -> ExplainReply:
        """Which route a request would take. Raises :class:`CliError` for a request nobody can read."""
        ...


class _RefusedError(Exception):
    def __init__(self, status: int, error: str, message: str) -> None:
        self.status = status
        self.reply = ErrorReply(error=error, message=message)
        super().__init__(message)


def _json(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, media_type="application/json")


async def _read(request: Request, model: type[M]) -> M:
    chunks = b""
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > MAX_BODY:
            raise _RefusedError(413, "too_large", f"at most {MAX_BODY} bytes")
    try:
        return model.model_validate_json(chunks or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        path = ".".join(map(str, found["loc"]))
        raise _RefusedError(400, "invalid_request", f"{path}: {found['msg']}") from None


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, _RefusedError)
    return _json(error.reply, error.status)


async def _failed(_: Request, error: Exception) -> Response:
    return _json(ErrorReply(error="invalid_request", message=str(error)), 400)


def create_app(instance: Instance) -> Starlette:
    """The application: ``/healthz``, ``/readyz``, ``/v1/status``, ``/v1/upstreams``, ``/v1/wait``, ``/v1/explain``."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        served = instance.status().served
        return PlainTextResponse("ok\n" if served else "not ready\n", 200 if served else 503)

    async def status(_: Request) -> Response:
        return _json(instance.status())

    async def upstreams(_: Request) -> Response:
        return _json(instance.upstreams())

    async def wait(request: Request) -> Response:
        return _json(await instance.wait(await _read(request, WaitRequest)))

    async def explain(request: Request) -> Response:
        return _json(instance.explain(await _read(request, ExplainRequest)))

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/v1/status", status),
            Route("/v1/upstreams", upstreams),
            Route("/v1/wait", wait, methods=["POST"]),
            Route("/v1/explain", explain, methods=["POST"]),
        ],
        exception_handlers={_RefusedError: _refused, CliError: _failed},
    )


@contextlib.asynccontextmanager
async def serving(instance: Instance, state_dir: Path) -> AsyncIterator[None]:
    """Serve the control API on the socket of ``state_dir`` while the context is open.

    Raises ``OSError`` when the socket cannot be made.
    """
    sock = bind(state_dir)
    try:
        async with serving_app(create_app(instance), sock, "control"):
            yield
    finally:
        (state_dir / NAME).unlink(missing_ok=True)
