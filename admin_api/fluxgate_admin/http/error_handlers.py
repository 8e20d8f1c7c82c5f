"""Every way a request can go wrong, in one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from fluxgate_admin.errors import AdminError, InvalidRequestError, NotFoundError
from fluxgate_admin.http.answers import error_answer
from fluxgate_admin.http.context import context_of
from fluxgate_admin.http.json_body import Malformed
from fluxgate_admin.use_cases.pointers import pointer

_MOST = 50


class MethodNotAllowedError(AdminError):
    """There is something at the path, and nothing for the method (RFC 9110, 15.5.6)."""

    status = 405
    default_error = "method_not_allowed"


def install(app: FastAPI) -> None:
    """Answer errors of ours, of validation and of routing in one shape."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, AdminError)
        return error_answer(context_of(request), error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return error_answer(context_of(request), invalid_request(error))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return error_answer(context_of(request), _of_routing(app, request, error))

    app.add_exception_handler(AdminError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)


def _of_routing(app: FastAPI, request: Request, error: HTTPException) -> AdminError:
    match error.status_code:
        case 404:
            return NotFoundError("There is nothing at this path; /docs lists what there is.")
        case 405:
            allowed = ", ".join(sorted(_methods(app, request)))
            return MethodNotAllowedError(f"This path knows {allowed}.", headers={"allow": allowed})
        case _:
            return InvalidRequestError(str(error.detail))


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Every method of the path, whichever route has it."""
    return {
        method
        for context in iter_route_contexts(app.routes)
        if compile_path(context.path or "")[0].match(request.scope["path"])
        for method in context.methods or ()
    }


def invalid_request(error: RequestValidationError) -> InvalidRequestError:
    """The refusal of a request whose shape is wrong; pointers lead into its body."""
    if isinstance(error.body, Malformed):
        return _malformed(error.body)
    if isinstance(error.body, bytes) and error.body:
        return InvalidRequestError(
            "The body is not sent as JSON: say Content-Type: application/json."
        )
    problems = list(_problems(error.errors(), error.body))[:_MOST]
    first = problems[0]
    where = first.get("pointer") or first.get("parameter") or "the body"
    return InvalidRequestError(f"{where}: {first['message']}", details={"problems": problems})


def _malformed(body: Malformed) -> InvalidRequestError:
    if not body.pointer:
        return InvalidRequestError(body.why)
    problem = {"pointer": body.pointer, "message": body.why.removeprefix(f"{body.pointer}: ")}
    return InvalidRequestError(body.why, details={"problems": [problem]})


def _problems(errors: Sequence[Any], body: object) -> Iterable[dict[str, str]]:
    """Without those of a union's other members: who errs deep inside one of them meant that one."""
    found: dict[str, dict[str, str]] = {}
    for each in errors:
        place, problem = _problem(each, body)
        found.setdefault(place, problem)
    for place, problem in found.items():
        if not any(other.startswith(f"{place}/") for other in found):
            yield problem


def _problem(error: Mapping[str, Any], body: object) -> tuple[str, dict[str, str]]:
    source, *loc = error["loc"]
    message = _message(error)
    if source != "body":
        name = str(loc[0]) if loc else ""
        return f"{source} {name}", {"parameter": name, "in": source, "message": message}
    place = _pointer(loc, body, missing=error["type"] == "missing")
    return f"body{place}", {"pointer": place, "message": message}


def _message(error: Mapping[str, Any]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "unknown field"
        case "missing":
            return "is required"
        case _:
            said = str(error["msg"]).removeprefix("Value error, ")
            return said[:1].lower() + said[1:]


def _pointer(loc: Sequence[int | str], body: object, *, missing: bool) -> str:
    """The place in the body: ``loc`` also holds the names of a union's members, which are not in it."""
    parts: list[int | str] = []
    here: Any = body
    for index, part in enumerate(loc):
        known = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if known:
            here = here[part]
        elif not (missing and index == len(loc) - 1):
            continue
        parts.append(part)
    return pointer(*parts)
