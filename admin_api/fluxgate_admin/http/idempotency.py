"""``Idempotency-Key``: the same request twice is made once, and answered twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.ports import IdempotencyStore, Remembered

REPLAYED = "idempotency-replayed"
_KEPT = ("content-type", "etag", "location")


class Idempotency:
    """Remembers answers of writes that were made. What was refused changed nothing, and may be asked again."""

    def __init__(self, store: IdempotencyStore, log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log

    async def once(
        self,
        principal: Principal,
        key: str,
        request: Request,
        perform: Callable[[], Awaitable[Response]],
    ) -> Response:
        """The answer of ``perform``, or the one it gave before. Raises ``ConflictError``."""
        asked = await digest_of(request, principal)
        known = await self._store.claim(principal.id, key, asked)
        if known is not None:
            headers = {**known.headers, REPLAYED: "true"}
            return Response(known.body, known.status, headers)
        try:
            answer = await perform()
        except Exception:
            await self._release(principal, key)
            raise
        await self._keep(principal, key, asked, answer)
        return answer

    async def _release(self, principal: Principal, key: str) -> None:
        try:
            await self._store.release(principal.id, key)
        except UnavailableError as error:
            self._log.warning("an idempotency key stays claimed for now", error=error.message)

    async def _keep(self, principal: Principal, key: str, asked: str, answer: Response) -> None:
        headers = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
        remembered = Remembered(asked, answer.status_code, headers, bytes(answer.body))
        try:
            await self._store.keep(principal.id, key, remembered)
        except UnavailableError as error:
            # the write is made; the same request once more finds it made
            self._log.warning("an answer is not kept for its idempotency key", error=error.message)


async def digest_of(request: Request, principal: Principal) -> str:
    """What makes two requests the same one: method, path, query, condition, body, and what their sender may.

    One account has tokens for some of its rights; an answer to one of them is none to another.
    """
    scope = request.scope
    where = None if principal.namespaces is None else sorted(principal.namespaces)
    parts = (
        json.dumps([where, sorted(principal.scopes)]).encode(),
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        request.headers.get("if-match", "").encode(),
        await request.body(),
    )
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.hexdigest()
