"""What everybody may read: whether the process lives and is ready, and what the API is."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import HTMLResponse, Response

from fluxgate_admin.deps import Deps
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.http.answers import JSON, json_answer
from fluxgate_admin.http.shared import Shared
from fluxgate_admin.v2.docs_page import STYLE, page
from fluxgate_admin.v2.documented import answers, refusal
from fluxgate_admin.v2.shapes import OPEN

router = APIRouter(tags=["system"])


class AliveShape(BaseModel):
    """The process answers."""

    model_config = OPEN

    status: Literal["ok"] = Field(examples=["ok"])


@router.get(
    "/healthz",
    operation_id="healthz",
    response_model=None,
    responses={200: answers(AliveShape, "The process answers.")},
)
async def healthz() -> Response:
    """Whether the process answers."""
    return json_answer({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="readyz",
    response_model=None,
    responses={200: answers(AliveShape, "Ready."), 503: refusal(503)},
)
async def readyz(request: Request) -> Response:
    """Whether everything that is there has been read, and the database answers."""
    deps: Deps = request.app.state.deps
    if not deps.plane.ready:
        raise UnavailableError("Not everything that is there has been read yet.")
    answers_now: Shared[None] = request.app.state.database_answers
    await answers_now.get()
    return json_answer({"status": "ok"})


@router.get("/openapi.json", operation_id="openapi", response_model=None, include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The OpenAPI document (3.1)."""
    return Response(_once(request, "json", to_json), media_type=JSON)


@router.get("/docs", operation_id="docs", response_model=None, include_in_schema=False)
async def docs(request: Request) -> Response:
    """The same for people: one page, without scripts and without anything from elsewhere."""
    style = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    shown = _once(request, "html", lambda document: page(document).encode())
    return HTMLResponse(shown, headers={"content-security-policy": policy})


def _once(request: Request, form: str, write: Callable[[dict[str, Any]], bytes]) -> bytes:
    """The document in a form, written when somebody asks for the first time: everybody may ask."""
    app: FastAPI = request.app
    written: dict[str, bytes] = app.state.written
    if form not in written:
        written[form] = write(app.openapi())
    return written[form]
