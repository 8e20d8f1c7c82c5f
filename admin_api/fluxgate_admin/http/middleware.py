"""What surrounds every request: its id, the last resort for errors, the audit log."""

from __future__ import annotations

import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.auth.addresses import client_address, networks
from fluxgate_admin.deps import Deps
from fluxgate_admin.errors import AdminError
from fluxgate_admin.http.answers import error_answer
from fluxgate_admin.http.context import RequestContext, new_context
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.audit import namespaces_of, without_secrets
from fluxgate_admin.use_cases.ports import AuditRecord

REQUEST_ID = "x-request-id"
UNAUDITED = frozenset(("/healthz", "/readyz", "/docs", "/openapi.json", "/.well-known/jwks.json"))
"""Public, and asked every few seconds: nobody learns anything from their records."""
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
        if scope["path"] in UNAUDITED or not context.recorded:
            return
        principal: Principal | None = scope.get("state", {}).get("principal")
        await self._deps.audit.record(
            AuditRecord(
                at=self._deps.clock(),
                request_id=context.id,
                principal=principal.author if principal is not None else "",
                principal_id=principal.id if principal is not None else "",
                organisation=principal.organisation if principal is not None else "",
                namespaces=namespaces_of(principal, context.namespace),
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


def shown_path(scope: Scope) -> str:
    """The path for logs: bounded, without anything that looks like a key, or that a log or database trips over."""
    return _CONTROL.sub("\ufffd", without_secrets(scope["path"])[:_LONGEST_PATH])
