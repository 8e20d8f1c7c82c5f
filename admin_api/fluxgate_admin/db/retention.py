"""How long rows are kept. Every replica may sweep: what is gone already is not missed."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Delete, delete, select
from sqlalchemy.orm import InstrumentedAttribute
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.db.base import Table
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.tables import AnswerRow, AuditRow, HeadRow, RevisionRow
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.settings import RetentionSettings

_CHUNK = 1000
"""Rows deleted in one transaction, so that no writer waits long."""

Sweep = Callable[[dt.datetime], Awaitable[int]]
"""Removes what has had its time, as of a moment; gives the number of rows."""


class Retention:
    """Removes rows older than ``settings`` say, and whatever ``more`` sweeps remove (nonces, tokens)."""

    def __init__(
        self,
        database: Database,
        settings: RetentionSettings,
        clock: Callable[[], dt.datetime],
        log: FilteringBoundLogger,
        more: Sequence[Sweep] = (),
    ) -> None:
        self._database, self._settings = database, settings
        self._clock, self._log, self._more = clock, log, more

    async def run(self, every: float = 3600.0) -> None:
        """Sweep now and every so many seconds, until cancelled."""
        while True:
            try:
                removed = await self.sweep()
                if any(removed.values()):
                    self._log.info("retention_swept", **removed)
            except UnavailableError as error:
                self._log.warning("retention_waits", error=str(error))
            await asyncio.sleep(every)

    async def sweep(self) -> dict[str, int]:
        """Remove what has had its time. How many rows went, by what they were.

        The newest revision of an object that is there stays, however old: it says who made it what it is.
        """
        now = self._clock()
        settings = self._settings
        removed = {"idempotency": 0, "audit": 0, "history": 0, "other": 0}
        answers = AnswerRow.claimed_at < now - dt.timedelta(hours=settings.idempotency_hours)
        removed["idempotency"] = await self._remove(AnswerRow, AnswerRow.id, answers)
        if settings.audit_days:
            old = AuditRow.at < now - dt.timedelta(days=settings.audit_days)
            removed["audit"] = await self._remove(AuditRow, AuditRow.number, old)
        if settings.history_days:
            removed["history"] = await self._history(now - dt.timedelta(days=settings.history_days))
        for each in self._more:
            removed["other"] += await each(now)
        return removed

    async def _history(self, before: dt.datetime) -> int:
        present = select(HeadRow.number).where(HeadRow.digest != "")
        removed = await self._remove(
            RevisionRow,
            RevisionRow.number,
            (RevisionRow.at < before) & RevisionRow.number.not_in(present),
        )
        kept = select(RevisionRow.number)
        gone = (HeadRow.digest == "") & HeadRow.number.not_in(kept)
        async with self._database.writing() as session:
            await session.execute(delete(HeadRow).where(gone))
        return removed

    async def _remove(
        self, table: type[Table], key: InstrumentedAttribute[Any], condition: ColumnElement[bool]
    ) -> int:
        total = 0
        while True:
            statement: Delete = delete(table).where(
                key.in_(select(key).where(condition).limit(_CHUNK))
            )
            async with self._database.writing() as session:
                result = await session.execute(
                    statement, execution_options={"synchronize_session": False}
                )
            assert isinstance(result, CursorResult)
            total += result.rowcount
            if result.rowcount < _CHUNK:
                return total
