"""What a request meets first: the limit of refused calls, then the bounds of its body."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxgate_admin.auth.addresses import Address, client_address, networks
from fluxgate_admin.errors import AdminError, InvalidRequestError
from fluxgate_admin.http.answers import error_answer
from fluxgate_admin.http.bodies import Bodies, ClientGoneError, replay
from fluxgate_admin.http.context import context_in
from fluxgate_admin.http.failed_calls import Attempt, FailedCalls, TooManyFailuresError
from fluxgate_admin.http.middleware import UNAUDITED
from fluxgate_admin.settings import AdminSettings

BODY_SECONDS = 30.0
"""So long a body may take to arrive."""
_ATTEMPT = "fluxgate.attempt"
_KEY, _AUTHORIZATION, _FORWARDED = b"x-fluxgate-key", b"authorization", b"x-forwarded-for"
_FORM = "/oauth/token"
"""Where who calls may stand in the body."""
_RATE_LIMITED = 429
"""Counted already, by who limits."""


def attempt_of(request: Request) -> Attempt:
    """The call, as the limit of refused ones knows it."""
    return cast("Attempt", request.scope[_ATTEMPT])


class Entrance:
    """Lets in whom :class:`FailedCalls` lets in, reads bodies, and counts what was refused.

    Refused is what was answered 4xx while nobody was known: a wrong credential as well as a path that
    leads nowhere, as each of them costs a record. What everybody may read for nothing counts for nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        failed: FailedCalls,
        settings: AdminSettings,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._failed = failed
        self._bodies = Bodies(settings.max_body_bytes, body_seconds)
        trusted = settings.trusted_proxies
        self._trusted = networks(trusted) if trusted else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        attempt = self._failed.attempt(self._address(scope))
        scope[_ATTEMPT] = attempt
        status = 0

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, heard, attempt)
        except ClientGoneError:
            pass  # nobody is there to be answered
        finally:
            known = "principal" in scope.get("state", {})
            refused = 400 <= status < 500 and status != _RATE_LIMITED
            public = scope["path"] in UNAUDITED
            await attempt.end(refused=refused and not known and not public)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, attempt: Attempt) -> None:
        try:
            body = await self._admitted(scope, receive, attempt)
        except AdminError as error:
            context = context_in(scope)
            # a flood is told of once a minute, not by a row for each of its calls
            context.recorded = not isinstance(error, TooManyFailuresError) or error.first
            await error_answer(context, error)(scope, receive, send)
            return
        await self._app(scope, replay(body, receive), send)

    async def _admitted(self, scope: Scope, receive: Receive, attempt: Attempt) -> bytes:
        if scope["path"] in UNAUDITED:
            return await self._bodies.read(scope, receive)
        key, authorization = _values(scope, _KEY), _values(scope, _AUTHORIZATION)
        if scope["path"] != _FORM or authorization:
            await attempt.begin(key, authorization, b"")
            body = await self._bodies.read(scope, receive)
        else:
            try:
                body = await self._bodies.read(scope, receive)
            except AdminError:
                await attempt.begin(key, b"", b"")
                raise
            await attempt.begin(key, b"", body)
        _check_form(scope)
        return body

    def _address(self, scope: Scope) -> Address | None:
        peer = scope.get("client")
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED
        ]
        return client_address(peer[0] if peer else None, forwarded, self._trusted)


def _values(scope: Scope, name: bytes) -> bytes:
    return b"\n".join(value for each, value in scope["headers"] if each == name)


def _check_form(scope: Scope) -> None:
    """Raises ``InvalidRequestError`` for what a proxy in front may have read otherwise, or no database holds."""
    # PostgreSQL has no text with a NUL, and no name of ours has one either
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise InvalidRequestError("No path and no query holds a NUL character.")
    raw: bytes = scope.get("raw_path") or b""
    if b"%2f" in raw.lower() or b"%5c" in raw.lower():
        raise InvalidRequestError("No path holds an encoded slash or backslash.")
    if _values(scope, b"content-length") and _values(scope, b"transfer-encoding"):
        # RFC 9112, 6.3: what follows may be the end of this request, or the next one
        raise InvalidRequestError(
            "A request says its length in one way: Content-Length or Transfer-Encoding.",
            headers={"connection": "close"},
        )
