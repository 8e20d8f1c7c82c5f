"""Answers by idempotency key, in the database. They are sealed: one may hold a key that is shown once."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable

from sqlalchemy import delete

from fluxgate.secret import SecretBytes
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.tables import AnswerRow
from fluxgate_admin.errors import ConflictError
from fluxgate_admin.secret_box import SecretBox, SecretBoxError
from fluxgate_admin.use_cases.ports import Remembered

TAKE_OVER = dt.timedelta(minutes=1)
"""How long a claim holds without an answer; after that its process is taken to be dead."""


class SqlIdempotency:
    """Implements ``IdempotencyStore``. ``keep_for`` is how long a key is remembered."""

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        clock: Callable[[], dt.datetime],
        *,
        keep_for: dt.timedelta = dt.timedelta(hours=24),
    ) -> None:
        self._database, self._box, self._clock, self._keep_for = database, box, clock, keep_for

    async def claim(self, principal: str, key: str, request: str) -> Remembered | None:
        """Reserve the key for ``request``; the answer when there is one already."""
        row_id, now = _id(principal, key), self._clock()
        async with self._database.writing(_lock(row_id)) as session:
            row = await session.get(AnswerRow, row_id)
            if row is not None and now - row.claimed_at >= self._keep_for:
                await session.delete(row)
                await session.flush()
                row = None
            if row is None:
                session.add(AnswerRow(id=row_id, request=request, claimed_at=now, answer=None))
                return None
            if row.request != request:
                raise ConflictError(
                    "This Idempotency-Key was used for another request; use a new one.",
                    error="idempotency_key_reused",
                )
            if row.answer is not None and (known := self._open(row_id, row.answer)) is not None:
                return known
            if row.answer is None and now - row.claimed_at < TAKE_OVER:
                raise ConflictError(
                    "The first request with this Idempotency-Key is still being worked on.",
                    error="idempotency_key_in_use",
                    headers={"retry-after": "1"},
                )
            row.claimed_at, row.answer = now, None
            return None

    async def keep(self, principal: str, key: str, answer: Remembered) -> None:
        """The answer to give from now on."""
        row_id = _id(principal, key)
        async with self._database.writing(_lock(row_id)) as session:
            row = await session.get(AnswerRow, row_id)
            if row is not None and row.request == answer.request:
                row.answer = self._seal(row_id, answer)

    async def release(self, principal: str, key: str) -> None:
        """Nothing was done: the key may be used again."""
        statement = delete(AnswerRow).where(
            AnswerRow.id == _id(principal, key), AnswerRow.answer.is_(None)
        )
        async with self._database.writing() as session:
            await session.execute(statement)

    def _seal(self, row_id: str, answer: Remembered) -> str:
        told = {
            "request": answer.request,
            "status": answer.status,
            "headers": dict(answer.headers),
            "body": b64encode(answer.body).decode(),
        }
        return self._box.seal(SecretBytes(json.dumps(told).encode()), about_answer(row_id))

    def _open(self, row_id: str, sealed: str) -> Remembered | None:
        """None when the master key it was sealed with is gone: then nobody can know the answer any more."""
        try:
            told = json.loads(self._box.unseal(sealed, about_answer(row_id)).reveal())
        except SecretBoxError:
            return None
        return Remembered(
            request=told["request"],
            status=told["status"],
            headers=told["headers"],
            body=b64decode(told["body"]),
        )


def _id(principal: str, key: str) -> str:
    return hashlib.sha256(
        f"{len(principal)}:{principal}:{key}".encode("utf-8", "replace")
    ).hexdigest()


def about_answer(row_id: str) -> str:
    """What the answer of a row is sealed for."""
    return f"idempotency/{row_id}"


def _lock(row_id: str) -> int:
    """One of PostgreSQL's 64-bit locks for each key."""
    return int.from_bytes(bytes.fromhex(row_id[:16]), "big", signed=True)
