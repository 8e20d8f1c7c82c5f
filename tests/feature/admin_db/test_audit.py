"""The audit log: every call, also while many end at once and while the database is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import structlog
from sqlalchemy import select
from structlog.testing import capture_logs
from support.history import START

from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.tables import AuditRow
from fluxgate_admin.use_cases.ports import AuditPage, AuditQuery, AuditRecord

CALL = AuditRecord(
    at=START,
    request_id="req_1",
    principal="key:ci (key_1)",
    method="POST",
    path="/v2/routes",
    status=201,
    error="",
    address="127.0.0.1",
    seconds=0.25,
    objects=("Route default/orders",),
    principal_id="key_1",
    organisation="shop",
    namespaces=frozenset(("default",)),
)


@pytest.fixture
def audit(database: Database) -> SqlAuditLog:
    return SqlAuditLog(database, structlog.get_logger("test"))


async def rows(database: Database) -> list[AuditRow]:
    async with database.reading() as session:
        return list((await session.scalars(select(AuditRow).order_by(AuditRow.number))).all())


async def test_a_call_is_kept_when_record_returns(database: Database, audit: SqlAuditLog) -> None:
    await audit.record(CALL)
    assert await audit.page(AuditQuery()) == AuditPage((CALL,), None)


async def test_a_call_of_nobody_is_kept_as_nobodys(database: Database, audit: SqlAuditLog) -> None:
    nobody = replace(CALL, principal="", principal_id="", organisation="", namespaces=None)
    await audit.record(nobody)
    assert (await audit.page(AuditQuery())).records == (nobody,)
    (row,) = await rows(database)
    assert (row.principal_id, row.organisation, row.namespaces) == (None, None, None)


async def test_calls_that_end_at_once_are_all_kept_in_few_transactions(
    database: Database, audit: SqlAuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = []
    keep = audit._keep
    monkeypatch.setattr(audit, "_keep", lambda records: transactions.append(1) or keep(records))
    calls = [replace(CALL, request_id=f"req_{each}") for each in range(100)]
    await asyncio.gather(*(audit.record(each) for each in calls))
    assert [each.request_id for each in await rows(database)] == [each.request_id for each in calls]
    assert len(transactions) <= 2


async def test_a_caller_that_leaves_loses_nothing(database: Database, audit: SqlAuditLog) -> None:
    task = asyncio.create_task(audit.record(CALL))
    await asyncio.sleep(0)
    task.cancel()
    await audit.close()
    assert len(await rows(database)) == 1


async def test_while_the_database_is_away_calls_are_told_on_the_log_and_nobody_fails(
    database: Database, audit: SqlAuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(database, "_seconds", 0.0)
        await audit.record(CALL)
    told = [each for each in logs if each["event"] == "audit_not_kept"]
    assert [(each["path"], each["principal"], each["status"]) for each in told] == [
        ("/v2/routes", "key:ci (key_1)", 201)
    ]
    await audit.record(CALL)
    assert len(await rows(database)) == 1


async def test_what_callers_write_into_a_path_cannot_stop_the_log(
    database: Database, audit: SqlAuditLog
) -> None:
    await audit.record(replace(CALL, path="/v2/\0\ud800" + "x" * 5000))
    (row,) = await rows(database)
    assert row.path.startswith("/v2/??xxx")
