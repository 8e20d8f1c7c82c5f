"""Who calls, as a dependency of every operation: ``Depends(require("routes:read"))``.

:class:`SecuredRoute` asks before anything of the body is read as JSON, so that who may not call learns
nothing of what a call would have to look like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxgate_admin.access import Access
from fluxgate_admin.auth.authenticator import Caller
from fluxgate_admin.auth.key_check import KeyElsewhereError
from fluxgate_admin.auth.records import Presented
from fluxgate_admin.auth.scopes import ANY, PUBLIC, known
from fluxgate_admin.errors import InvalidRequestError, ScopeMismatchError
from fluxgate_admin.http.context import context_of
from fluxgate_admin.http.entrance import attempt_of
from fluxgate_admin.principal import Principal

NAMESPACE_HEADER = "x-fluxgate-namespace"
"""Where a token of the cluster's is to act: a namespace, or ``*`` for all of them."""
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?|\*")
"""A label (RFC 1123), or all of them."""
_CALLER = "caller"
_HEADERS = "answer_headers"
_BYTES = "surrogateescape"


Asks = Callable[[Request], frozenset[str] | None]
"""Which scopes of its caller a call looks at; None: it cannot be said before."""


class Require:
    """Lets in who has a scope; see :func:`require`."""

    def __init__(self, scope: str, asks: Asks | None = None) -> None:
        self.scope = scope
        self._asks = asks

    async def __call__(self, request: Request) -> Principal:
        """The caller. Raises 401, 403 and 429 as ``AdminError``; the second time it just answers."""
        return (await self.admit(request)).principal

    async def admit(self, request: Request) -> Caller:
        """The caller with its key or token; authenticated, counted, and allowed to."""
        caller = getattr(request.state, _CALLER, None)
        if caller is None:
            access = access_of(request)
            try:
                caller = await access.authenticator.authenticate(await presented_by(request))
            except KeyElsewhereError as error:
                context_of(request).objects.append(error.key_id)  # for the audit log
                raise
            attempt_of(request).known()
            request.state.principal = caller.principal
            context_of(request).namespace = request.path_params.get("namespace", "")
            add_headers(request, caller.headers)
            allowance = await access.limits.take(caller.principal.id, writes=self._writes(request))
            add_headers(request, allowance.headers)
            # counted before it is asked what it may: in a cluster each scope costs reviews
            caller = await access.authenticator.authorise(caller, self.asked(request))
            setattr(request.state, _CALLER, caller)
            request.state.principal = caller.principal
        assert isinstance(caller, Caller)
        if self.scope != ANY and not caller.principal.may(self.scope):
            raise ScopeMismatchError(self.scope)
        return caller

    def asked(self, request: Request) -> frozenset[str] | None:
        """The scopes this call looks at: its own alone, unless it was told otherwise."""
        if self._asks is not None:
            return self._asks(request)
        return None if self.scope == ANY else frozenset({self.scope})

    def _writes(self, request: Request) -> bool:
        """What counts as a write: a question by POST (a dry run) is none, and its scope says so."""
        if self.scope == ANY:
            return request.method not in {"GET", "HEAD"}
        return not self.scope.endswith(":read")


def everything(_: Request) -> None:
    """For operations that look at scopes of kinds only the body, or the database, tells."""


def scope_of_kind(scopes: Mapping[str, str]) -> Asks:
    """For operations about objects of the kind that the path or the query names."""

    def asks(request: Request) -> frozenset[str]:
        kind = request.path_params.get("kind") or request.query_params.get("kind", "")
        return frozenset({scopes[kind]} if kind in scopes else ())

    return asks


def require(scope: str) -> Require:
    """A dependency that gives the :class:`Principal` of who has ``scope`` (``ANY``: whoever is authenticated).

    It stands in the OpenAPI as ``x-required-scope``.
    """
    assert scope == ANY or known(scope), f"{scope} is in no table of auth/scopes.py"
    return Require(scope)


class SecuredRoute(APIRoute):
    """An operation that asks who calls before it reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, after the question."""
        handle = super().get_route_handler()
        needed = _required(self.dependant)

        async def handler(request: Request) -> Response:
            if needed is not None:
                await needed.admit(request)
            return await handle(request)

        return handler


def required_scope(route: APIRoute) -> str:
    """The scope an operation asks for; ``PUBLIC`` when it asks for nothing."""
    needed = _required(route.dependant)
    return PUBLIC if needed is None else needed.scope


def _required(dependant: Dependant) -> Require | None:
    for each in dependant.dependencies:
        if isinstance(each.call, Require):
            return each.call
        if (found := _required(each)) is not None:
            return found
    return None


def access_of(request: Request) -> Access:
    """What the application was built with."""
    return cast("Access", request.app.state.deps.access)


async def presented_by(request: Request) -> Presented:
    """What a request shows, as it came over the wire; the body only where it may be signed."""
    scope = request.scope
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in scope["headers"]
    )
    names = {name for name, _ in headers}
    signed = "x-fluxgate-key" in names and "x-fluxgate-signature" in names
    client = scope.get("client")
    raw_path = scope.get("raw_path") or scope["path"].encode()
    return Presented(
        method=scope["method"],
        path=raw_path.decode("utf-8", _BYTES),
        query=scope["query_string"].decode("utf-8", _BYTES),
        headers=headers,
        peer=client[0] if client else None,
        body=await request.body() if signed else b"",
        namespace=_namespace(request),
    )


def _namespace(request: Request) -> str:
    """The one namespace a request names: in its header, which every operation takes, else in its query.

    Raises :class:`InvalidRequestError` for two headers, as nobody knows which would count, and for one that
    names no namespace. What is wrong with a query the operation says.
    """
    named = request.headers.getlist(NAMESPACE_HEADER)
    if len(named) > 1:
        raise InvalidRequestError(f"{NAMESPACE_HEADER}: given more than once")
    if named and not _NAMESPACE.fullmatch(named[0]):
        raise InvalidRequestError(f"{NAMESPACE_HEADER}: is no name of a namespace, and not *")
    asked = named or request.query_params.getlist("namespace")
    return asked[0] if len(asked) == 1 and _NAMESPACE.fullmatch(asked[0]) else ""


def add_headers(request: Request, headers: Any) -> None:  # noqa: ANN401 - any mapping of text
    """Headers for the answer, whatever it will be; :class:`AnswerHeaders` writes them."""
    request.scope.setdefault("state", {}).setdefault(_HEADERS, {}).update(headers)


class AnswerHeaders:
    """Writes what :func:`add_headers` was given into the answer, errors included. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and add to the head of the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [
                    (name.encode(), value.encode())
                    for name, value in state.get(_HEADERS, {}).items()
                    if name.encode() not in present
                ]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        await self._app(scope, receive, with_headers)
