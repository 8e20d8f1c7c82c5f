"""The control API's client. Every failure is a :class:`CliError` that says what to do."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from fluxgate_cli.control.models import (
    ErrorReply,
    ExplainReply,
    ExplainRequest,
    StatusView,
    UpstreamsView,
    WaitReply,
    WaitRequest,
)
from fluxgate_cli.control.socket import socket_path
from fluxgate_cli.errors import CliError, NotRunningError, UsageError

ANSWER_TIMEOUT = 10.0
"""Seconds any answer may take, on top of what a wait was asked to take."""

M = TypeVar("M", bound=BaseModel)


def status(state_dir: Path) -> StatusView:
    """The status of the instance that runs with ``state_dir``."""
    return _call(state_dir, "GET", "/v1/status", StatusView)


def wait(state_dir: Path, request: WaitRequest) -> WaitReply:
    """Wait until everything in the folder is served, or for the timeout."""
    return _call(state_dir, "POST", "/v1/wait", WaitReply, request, extra=request.timeout)


def upstreams(state_dir: Path) -> UpstreamsView:
    """How the targets of the running instance's pools are."""
    return _call(state_dir, "GET", "/v1/upstreams", UpstreamsView)


def explain(state_dir: Path, request: ExplainRequest) -> ExplainReply:
    """Which route a request would take in the running instance."""
    return _call(state_dir, "POST", "/v1/explain", ExplainReply, request)


def _call(
    state_dir: Path,
    method: str,
    path: str,
    model: type[M],
    body: BaseModel | None = None,
    *,
    extra: float = 0.0,
) -> M:
    content = None if body is None else body.model_dump_json()
    try:
        with (
            _listened_to(state_dir) as uds,
            httpx.Client(
                transport=httpx.HTTPTransport(uds=uds),
                base_url="http://fluxgate",
                timeout=httpx.Timeout(ANSWER_TIMEOUT, read=ANSWER_TIMEOUT + extra),
            ) as http,
        ):
            response = http.request(method, path, content=content)
    except PermissionError as error:
        raise NotRunningError(
            f"the state folder {state_dir} cannot be opened: {error.strerror}",
            "Run as the user that started fluxgate run.",
        ) from None
    except (OSError, httpx.ConnectError):
        raise NotRunningError(
            f"no fluxgate runs with the state folder {state_dir}",
            "Start one with 'fluxgate run --config DIR', or name its folder with --state-dir.",
        ) from None
    except httpx.HTTPError as error:
        raise NotRunningError(
            f"the instance in {state_dir} did not answer: {str(error) or type(error).__name__}"
        ) from None
    return _parse(response, model)


@contextlib.contextmanager
def _listened_to(state_dir: Path) -> Iterator[str]:
    """The socket's path, once somebody answers there; raises ``OSError`` when nobody does.

    httpcore 1.0 leaves its socket open when it cannot connect, so we find out before it tries.
    """
    with socket_path(state_dir) as path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(path)
        yield path


def _parse(response: httpx.Response, model: type[M]) -> M:
    try:
        if response.status_code == 200:
            return model.model_validate_json(response.content)
        reply = ErrorReply.model_validate_json(response.content)
    except ValidationError:
        raise CliError(
            f"the running instance answered {response.status_code} in a form this version does not know",
            "Use the same version of fluxgate for both.",
        ) from None
    raise UsageError(reply.message)
