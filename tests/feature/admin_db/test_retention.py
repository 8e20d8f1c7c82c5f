"""Retention: what has had its time goes, and nothing else."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
import structlog
from cryptography.fernet import Fernet
from sqlalchemy import func, select
from support.history import Clock, intent, route, stored, told

from fluxgate.ports import ChangeType, ResourceChange
from fluxgate.secret import SecretBytes
from fluxgate_admin.db import retention
from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.db.idempotency import SqlIdempotency
from fluxgate_admin.db.retention import Retention
from fluxgate_admin.db.tables import AuditRow, HeadRow
from fluxgate_admin.secret_box import SecretBox
from fluxgate_admin.settings import RetentionSettings
from fluxgate_admin.use_cases.ports import AuditRecord

LOG = structlog.get_logger("test")


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keeper(database: Database, clock: Clock, **settings: int) -> Retention:
    return Retention(database, RetentionSettings(**settings), clock, LOG)


def change(path: str, name: str = "orders") -> ResourceChange:
    state = stored(route(name, path))
    return ResourceChange(ChangeType.CHANGED, state.ref, state)


async def test_history_is_kept_for_ever_unless_somebody_says_for_how_long(
    database: Database, clock: Clock
) -> None:
    history = SqlHistory(database, clock)
    await history.observe(change("/a"))
    clock.forward(days=10_000)
    assert (await keeper(database, clock).sweep())["history"] == 0
    assert len(await told(history)) == 1


async def test_old_revisions_go_but_for_the_newest_of_what_is_there(
    database: Database, clock: Clock
) -> None:
    history = SqlHistory(database, clock)
    for path in ("/a", "/b", "/c"):
        await history.observe(change(path))
    clock.forward(days=31)
    await history.observe(change("/x", name="young"))
    assert (await keeper(database, clock, history_days=30).sweep())["history"] == 2
    assert await told(history) == [("/b", "/c", "kubectl"), (None, "/x", "kubectl")]


async def test_nothing_stays_of_an_object_that_was_deleted_long_ago(
    database: Database, clock: Clock
) -> None:
    history = SqlHistory(database, clock)
    created = change("/a")
    await history.observe(created)
    await history.observe(ResourceChange(ChangeType.DELETED, created.ref, None))
    clock.forward(days=31)
    await keeper(database, clock, history_days=30).sweep()
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(HeadRow)) == 0
    assert await told(history) == []


async def test_numbers_of_what_went_are_not_given_again(database: Database, clock: Clock) -> None:
    history = SqlHistory(database, clock)
    created = change("/a")
    await history.observe(created)
    gone = await history.observe(ResourceChange(ChangeType.DELETED, created.ref, None))
    clock.forward(days=31)
    await keeper(database, clock, history_days=30).sweep()
    again = await history.observe(created)
    assert again is not None
    assert gone is not None
    assert again.number > gone.number


async def test_audit_and_answers_go_after_their_time_in_chunks(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_CHUNK", 3)
    audit = SqlAuditLog(database, LOG)
    answers = SqlIdempotency(database, SecretBox([SecretBytes(Fernet.generate_key())]), clock)
    call = AuditRecord(clock(), "req_1", "", "GET", "/v2/routes", 401, "unauthenticated", "", 0.1)
    for each in range(7):
        await audit.record(call)
        await answers.claim("key_1", str(each), "digest")
    clock.forward(days=2)
    await audit.record(replace(call, at=clock()))
    removed = await keeper(database, clock, audit_days=1).sweep()
    assert removed == {"idempotency": 7, "audit": 7, "history": 0, "other": 0}
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(AuditRow)) == 1


async def test_other_parts_may_sweep_along(database: Database, clock: Clock) -> None:
    moments = []

    async def nonces(now: dt.datetime) -> int:
        moments.append(now)
        return 4

    swept = await Retention(database, RetentionSettings(), clock, LOG, [nonces]).sweep()
    assert (swept["other"], moments) == (4, [clock()])


async def test_a_write_under_way_is_never_swept(database: Database, clock: Clock) -> None:
    history = SqlHistory(database, clock)
    write = intent(None, route())
    await history.begin(write)
    clock.forward(days=400)
    await keeper(database, clock, history_days=1).sweep()
    assert await history.finish(write.id, stored(route())) is not None
