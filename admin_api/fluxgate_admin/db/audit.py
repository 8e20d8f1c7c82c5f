"""The audit log in the database. Calls that end at about the same time are kept in one transaction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import insert
from sqlalchemy.exc import SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.db.audit_pages import encode, read_page
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.tables import AuditRow
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.use_cases.ports import AuditPage, AuditQuery, AuditRecord

_AT_ONCE = 500


@dataclass(slots=True, eq=False)
class _Batch:
    records: list[AuditRecord] = field(default_factory=list)
    kept: asyncio.Event = field(default_factory=asyncio.Event)


class SqlAuditLog:
    """Implements ``AuditLog``. :meth:`close` waits for what is being kept."""

    def __init__(self, database: Database, log: FilteringBoundLogger) -> None:
        self._database, self._log = database, log
        self._next = _Batch()
        self._writer: asyncio.Task[None] | None = None

    async def record(self, record: AuditRecord) -> None:
        """Keep it; returns when it is kept, or told on the log. A caller that leaves loses nothing."""
        batch = self._next
        batch.records.append(record)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="audit log")
        await batch.kept.wait()

    async def page(self, query: AuditQuery) -> AuditPage:
        """What was kept, newest first. Raises ``UnavailableError``."""
        async with self._database.reading() as session:
            return await read_page(session, query)

    async def close(self) -> None:
        """Wait for what is being kept."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._next.records:
            batch, self._next = self._next, _Batch()
            try:
                for start in range(0, len(batch.records), _AT_ONCE):
                    await self._keep(batch.records[start : start + _AT_ONCE])
            finally:
                batch.kept.set()

    async def _keep(self, records: Sequence[AuditRecord]) -> None:
        try:
            async with self._database.writing() as session:
                await session.execute(insert(AuditRow), [_row(each) for each in records])
        except (UnavailableError, SQLAlchemyError) as error:
            for each in records:
                told = {**_row(each), "at": each.at.isoformat()}
                self._log.error("audit_not_kept", reason=type(error).__name__, **told)


def _row(record: AuditRecord) -> dict[str, object]:
    namespaces = record.namespaces
    return {
        **asdict(record),
        "objects": json.dumps(record.objects),
        "principal_id": record.principal_id or None,
        "organisation": record.organisation or None,
        "namespaces": None if namespaces is None else encode(namespaces),
    }
