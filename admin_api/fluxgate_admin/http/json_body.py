"""JSON bodies, read strictly (RFC 8259): UTF-8, no lone surrogates, no NaN, bounded depth, no key twice."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from fluxgate_admin.http.authentication import SecuredRoute
from fluxgate_admin.use_cases.pointers import pointer

_EXACT = 2**53
"""Below it every integer has a float of its own."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What stands for a body that is not JSON, and fits no model; ``why`` is for people.

    ``pointer`` leads to the field to blame, where one can be told. An exception would not say as much:
    FastAPI answers any of them in words of its own.
    """

    why: str
    pointer: str = ""


class JsonRequest(Request):
    """A request whose :meth:`json` never raises."""

    async def json(self) -> Any:  # noqa: ANN401 - JSON
        """The body, or :class:`Malformed`."""
        return read_json(await self.body())


class JsonRoute(SecuredRoute):
    """An operation whose body is read by :class:`JsonRequest`, once it is known who calls."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that serves a request."""
        serve = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await serve(JsonRequest(request.scope, request.receive))

        return handler


def read_json(data: bytes) -> Any:  # noqa: ANN401 - JSON
    """What ``data`` says, or :class:`Malformed`; 5.0 is given as 5, which to JSON is one number.

    Two readers, because each lacks something: pydantic's bounds the depth and refuses what is not
    Unicode, Python's tells of every key of an object.
    """
    try:
        from_json(data, allow_inf_nan=False, cache_strings=False)
        return _read(data)
    except (ValueError, RecursionError) as error:
        return Malformed(f"The body cannot be read as JSON: {_said(error)}")


def _said(error: Exception) -> str:
    """The reader's words, with what to do where they say no more than what it met."""
    said = str(error)
    if "recursion" in said:
        return f"{said}: it is nested too deeply"
    if "hex escape" in said:
        return f"{said}: \\ud800 to \\udfff stand for a character only in pairs"
    return said


class _Twice(dict[str, Any]):
    """An object that has ``key`` more than once."""

    def __init__(self, content: dict[str, Any], key: str) -> None:
        super().__init__(content)
        self.key = key


def _read(data: bytes) -> Any:  # noqa: ANN401 - JSON
    repeated = False

    def whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        repeated = True
        return _Twice(made, _first_repeated(pairs))

    value = json.loads(data, object_pairs_hook=whole, parse_float=_number)
    if not repeated:
        return value
    place = pointer(*_place_of_repeated(value))
    return Malformed(f"{place}: the key is there more than once; say which value is meant", place)


def _first_repeated(pairs: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise ValueError("no key is there twice")


def _place_of_repeated(value: Any) -> list[str | int]:  # noqa: ANN401 - JSON
    """The way to the first key that an object has twice; empty where there is none."""
    if isinstance(value, _Twice):
        return [value.key]
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, each in items:
        if below := _place_of_repeated(each):
            return [key, *below]
    return []


def _number(text: str) -> int | float:
    """The number that ``text``, which has a fraction or an exponent, stands for."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is larger than any that can be kept")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
