"""JSON bodies, read strictly (RFC 8259): UTF-8, no NaN, bounded depth; and only for who may call.

FastAPI reads a body before it runs dependencies, so a body that is not JSON would be refused before the
caller is known. Here it becomes a value that no model takes, and is refused when its turn has come.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Malformed:
    """What stands for a body that is not JSON; ``why`` is for people."""

    why: str


class JsonRequest(Request):
    """A request whose :meth:`json` never raises."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, or :class:`Malformed`."""
        try:
            return from_json(await self.body(), allow_inf_nan=False, cache_strings=False)
        except (ValueError, RecursionError) as error:
            return Malformed(str(error))


class JsonRoute(APIRoute):
    """A route whose bodies are read by :class:`JsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that serves a request."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await serve(JsonRequest(request.scope, request.receive))

        return handler
