"""JSON bodies, read strictly (RFC 8259): UTF-8, no lone surrogates, no NaN, bounded depth."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from fluxgate_admin.http.authentication import SecuredRoute

_EXACT = 2**53
"""Below it every integer has a float of its own."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What stands for a body that is not JSON, and fits no model; ``why`` is for people.

    An exception would not say as much: FastAPI answers any of them in words of its own.
    """

    why: str


class JsonRequest(Request):
    """A request whose :meth:`json` never raises."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, or :class:`Malformed`."""
        try:
            return _whole(from_json(await self.body(), allow_inf_nan=False, cache_strings=False))
        except (ValueError, RecursionError) as error:
            return Malformed(str(error))


class JsonRoute(SecuredRoute):
    """An operation whose body is read by :class:`JsonRequest`, once it is known who calls."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that serves a request."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await serve(JsonRequest(request.scope, request.receive))

        return handler


def _whole(value: Any) -> Any:  # noqa: ANN401 - JSON
    """With 5 for 5.0: to JSON they are one number, and models are strict about integers."""
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value
