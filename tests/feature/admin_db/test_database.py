"""The database: what a transaction promises, and what callers hear when it is away."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, ProgrammingError
from structlog.testing import capture_logs
from support.history import START, Clock, intent, route, stored, told, until
from support.postgres import Postgres

from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.engine import DatabaseUrlError, database_url
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.db.tables import AnswerRow
from fluxgate_admin.errors import UnavailableError

CANARY = "canary-7f3a9c"


def answer(row_id: str = "one", answer: str | None = None) -> AnswerRow:
    return AnswerRow(id=row_id, request="r", claimed_at=START, answer=answer)


async def count(database: Database) -> int:
    async with database.reading() as session:
        return len((await session.scalars(select(AnswerRow))).all())


async def test_what_a_block_wrote_is_there_when_it_ends_and_gone_when_it_raises(
    database: Database,
) -> None:
    class StopError(Exception):
        pass

    async def write_and_stop() -> None:
        async with database.writing() as session:
            session.add(answer())
            await session.flush()
            raise StopError

    with pytest.raises(StopError):
        await write_and_stop()
    assert await count(database) == 0
    async with database.writing() as session:
        session.add(answer())
    assert await count(database) == 1


async def test_a_block_that_is_cancelled_leaves_nothing_and_the_next_one_works(
    database: Database,
) -> None:
    inside = asyncio.Event()

    async def write() -> None:
        async with database.writing() as session:
            session.add(answer())
            await session.flush()
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.writing() as session:
        session.add(answer("two"))
    assert await count(database) == 1


async def test_writers_that_read_first_do_not_lose_each_others_writes(database: Database) -> None:
    async with database.writing() as session:
        session.add(answer(answer="0"))

    async def increment() -> None:
        async with database.writing(lock=1) as session:
            row = await session.get_one(AnswerRow, "one")
            await asyncio.sleep(0)
            row.answer = str(int(row.answer or 0) + 1)

    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.reading() as session:
        assert (await session.get_one(AnswerRow, "one")).answer == "20"


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.writing() as session:
        session.add(answer())
        await session.flush()
        assert await count(database) == 0


async def test_mistakes_of_the_program_are_not_taken_for_a_database_that_is_away(
    database: Database,
) -> None:
    async with database.writing() as session:
        session.add(answer())
    with pytest.raises(IntegrityError):
        async with database.writing() as session:
            session.add(answer())


async def test_errors_and_logs_hold_no_values(database: Database) -> None:
    async def write_twice() -> None:
        async with database.writing() as session:
            session.add(answer(answer=CANARY))
            await session.flush()
            row = {"id": "one", "request": CANARY, "claimed_at": START}
            await session.execute(insert(AnswerRow), [row])

    with capture_logs() as logs, pytest.raises(IntegrityError) as caught:
        await write_twice()
    assert CANARY not in f"{caught.value} {logs}"


async def test_a_database_without_tables_is_not_taken_for_one_that_is_away_by_postgresql(
    postgres: Postgres,
) -> None:
    async with Database(postgres.new_database()) as database:
        with pytest.raises(ProgrammingError):
            await count(database)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:canary@h/d",
        "canary",
        "sqlite:///f?mode=memory",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_what_can_be_and_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="postgresql://user@host/database") as caught:
        database_url(url)
    assert "canary" not in str(caught.value)


async def test_the_name_of_a_database_hides_its_password() -> None:
    database = Database("postgresql://admin:canary@db.example.com/admin")
    assert "canary" not in database.name
    await database.close()


async def test_a_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "admin.db"
    await migrate.upgrade(f"sqlite:///{file}")
    async with Database(f"sqlite:///{file}") as database:
        async with database.writing() as session:
            session.add(answer())
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()}
    assert modes == {"admin.db": 0o600, "admin.db-wal": 0o600, "admin.db-shm": 0o600}


# away


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that the test may stop."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


async def test_a_file_that_another_program_keeps_locked_is_unavailable_and_then_is_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "admin.db"
    await migrate.upgrade(f"sqlite:///{file}")
    async with Database(f"sqlite:///{file}", seconds=2) as database:
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError):
            async with database.writing() as session:
                session.add(answer())
        assert await count(database) == 0
        other.execute("ROLLBACK")
        other.close()
        async with database.writing() as session:
            session.add(answer())


async def test_a_server_that_ends_in_the_middle_of_a_write_takes_all_of_it_along(
    own_postgres: Postgres,
) -> None:
    url = own_postgres.new_database()
    await migrate.upgrade(url)
    async with Database(url) as database:

        async def write_until_it_ends() -> None:
            async with database.writing() as session:
                session.add(answer())
                await session.flush()
                own_postgres.stop()

        with pytest.raises(UnavailableError):
            await write_until_it_ends()
        with pytest.raises(UnavailableError) as caught:
            await database.check()
        assert caught.value.headers["retry-after"] == "1"
        own_postgres.start()
        assert await count(database) == 0
        async with database.writing() as session:
            session.add(answer())


async def available(database: Database) -> None:
    """Return when it answers in its time, which a busy machine may miss."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(UnavailableError):
                return await database.check()


async def test_a_server_that_stands_still_is_let_go_of_at_once_and_used_again_when_it_goes_on(
    own_postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_postgres.new_database()
    async with Database(url, seconds=1) as database:
        await database.check()
        own_postgres.pause()
        with pytest.raises(UnavailableError):
            await database.check()
        own_postgres.resume()

        async def answers() -> bool:
            with suppress(UnavailableError):
                await database.check()
                return True
            return False

        await until(answers, "the server answers again")
    # by itself psycopg would have waited ten seconds more, and said "not terminated after cancellation"
    assert "query cancellation interrupted" in caplog.text


async def test_a_write_that_was_announced_before_the_database_went_is_completed_after_it_is_back(
    own_postgres: Postgres,
) -> None:
    url = own_postgres.new_database()
    await migrate.upgrade(url)
    async with Database(url) as database:
        history = SqlHistory(database, Clock())
        write = intent(None, route())
        await history.begin(write)
        own_postgres.stop(kill=True)
        with pytest.raises(UnavailableError):
            await history.finish(write.id, stored(route(), "7"))
        own_postgres.start()
        await history.finish(write.id, stored(route(), "7"))
        await history.finish(write.id, stored(route(), "7"))
        assert await told(history) == [(None, "/orders", write.author)]
