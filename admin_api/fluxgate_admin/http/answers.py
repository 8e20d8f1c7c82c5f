"""JSON answers, and the shape of errors: ``{error, message, request_id}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from fluxgate_admin.errors import AdminError
from fluxgate_admin.http.context import RequestContext

JSON = "application/json"


def json_answer(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """``body`` as JSON."""
    return Response(to_json(body), status, dict(headers or {}), media_type=JSON)


def error_answer(context: RequestContext, error: AdminError) -> Response:
    """A refusal as the document shows them; what it adds stands behind the three fields."""
    return json_answer(error_body(context, error), error.status, error.headers)


def error_body(context: RequestContext, error: AdminError) -> dict[str, Any]:
    """The body of a refusal."""
    context.error = error.error
    return {
        "error": error.error,
        "message": error.message,
        "request_id": context.id,
        **error.details,
    }
