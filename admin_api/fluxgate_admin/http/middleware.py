"""What surrounds every request: its id, the last resort for errors, the bound of bodies, the audit log."""

from __future__ import annotations

import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.auth.addresses import client_address, networks
from fluxgate_admin.deps import Deps
from fluxgate_admin.errors import AdminError, InvalidRequestError, TooLargeError
from fluxgate_admin.http.answers import error_answer
from fluxgate_admin.http.context import RequestContext, context_in, new_context
from fluxgate_admin.use_cases.ports import AuditRecord

REQUEST_ID = "x-request-id"
UNAUDITED = frozenset(("/healthz", "/readyz", "/docs", "/openapi.json", "/.well-known/jwks.json"))
"""Public, and asked every few seconds: nobody learns anything from their records."""
_SECRET = re.compile(r"(sk_(?:live|test)_|fss_|fcs_|eyJ)[A-Za-z0-9_.-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_PATH = 512
_FORWARDED = b"x-forwarded-for"


class RequestMiddleware:
    """Gives every request an id, answers what nobody else did, and keeps a record of it."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        self._app = app
        self._deps = deps
        trusted = deps.settings.trusted_proxies
        self._trusted = networks(trusted) if trusted else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = new_context(scope)
        answer = _Answer(send, context)
        started = time.perf_counter()
        try:
            if _holds_nul(scope):
                refusal = InvalidRequestError("No path and no query holds a NUL character.")
                await error_answer(context, refusal)(scope, receive, answer.send)
            else:
                await self._app(scope, receive, answer.send)
        except Exception as error:
            self._log_failure(scope, context, error)
            if answer.status is not None:
                raise  # half an answer must not look like a whole one: the connection ends
            await error_answer(context, AdminError(_FAILED))(scope, receive, answer.send)
        finally:
            await self._record(scope, context, answer.status or 0, time.perf_counter() - started)

    def _log_failure(self, scope: Scope, context: RequestContext, error: Exception) -> None:
        log: FilteringBoundLogger = self._deps.log
        log.error(
            "a request failed",
            request_id=context.id,
            method=scope["method"],
            path=shown_path(scope),
            exc_info=error,
        )

    async def _record(
        self, scope: Scope, context: RequestContext, status: int, seconds: float
    ) -> None:
        if scope["path"] in UNAUDITED:
            return
        principal = scope.get("state", {}).get("principal")
        await self._deps.audit.record(
            AuditRecord(
                at=self._deps.clock(),
                request_id=context.id,
                principal=principal.author if principal is not None else "",
                method=scope["method"][:16],
                path=shown_path(scope),
                status=status,
                error=context.error,
                address=self._address(scope),
                seconds=seconds,
                objects=tuple(context.objects),
            )
        )

    def _address(self, scope: Scope) -> str:
        peer = scope.get("client")
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == _FORWARDED
        ]
        return str(client_address(peer[0] if peer else None, forwarded, self._trusted) or "")


_FAILED = "Something went wrong here; the log has the details under this request_id."


class _Answer:
    """Passes an answer on, with the headers every answer has."""

    def __init__(self, send: Send, context: RequestContext) -> None:
        self._send = send
        self._context = context
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """One message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._context.id
            headers.setdefault("cache-control", "no-store")
            headers["x-content-type-options"] = "nosniff"
        await self._send(message)


class BodyMiddleware:
    """Reads bodies, up to a size: what is larger is refused before anybody looks at it."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if body is None:
            error = TooLargeError(f"The body is larger than {self._limit} bytes.")
            await error_answer(context_in(scope), error)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        if _declared(scope) > self._limit:
            return None
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"".join(parts)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def shown_path(scope: Scope) -> str:
    """The path for logs: bounded, without anything that looks like a key, or that a log or database trips over."""
    return _CONTROL.sub("\ufffd", _SECRET.sub(r"\1…", scope["path"])[:_LONGEST_PATH])


def _holds_nul(scope: Scope) -> bool:
    """PostgreSQL has no text that does, and no name of ours has either."""
    return "\0" in scope["path"] or b"%00" in scope["query_string"]
