"""Migrations: up and down, with data, at once, and exactly the tables that the program uses."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest
import structlog
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select, text
from support.databases import PATIENCE, DatabasePlace
from support.history import START, Clock, intent, route, stored, told, until
from support.postgres import Postgres

from fluxgate_admin.auth.tables import AdminAccount, AdminKey, AdminNonce, AdminToken
from fluxgate_admin.db import migrate
from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.db.schema import METADATA
from fluxgate_admin.db.tables import AuditRow
from fluxgate_admin.use_cases.ports import AuditRecord

CALL = AuditRecord(
    at=START,
    request_id="req_1",
    principal="key:ci (key_1)",
    method="GET",
    path="/v2/routes",
    status=200,
    error="",
    address="127.0.0.1",
    seconds=0.1,
    principal_id="key_1",
    organisation="shop",
    namespaces=frozenset(("shop",)),
)


async def tables(url: str) -> set[str]:
    def names(connection: Connection) -> set[str]:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}

    async with Database(url) as database, database.reading() as session:
        return await (await session.connection()).run_sync(names)


async def fill(url: str) -> None:
    """A row in the tables that matter, those of other people included."""
    async with Database(url) as database:
        history = SqlHistory(database, Clock())
        write = intent(None, route())
        await history.begin(write)
        await history.finish(write.id, stored(route()))
        await history.begin(intent(route(), route(path="/b")))
        await fill_credentials(database)
        await SqlAuditLog(database, structlog.get_logger("test")).record(CALL)


async def fill_credentials(database: Database) -> None:
    async with database.writing() as session:
        session.add(
            AdminKey(
                id="key_1",
                organisation="shop",
                name="ci",
                hash="0" * 64,
                prefix="sk_live_abc",
                last_four="wxyz",
                signing_secret="sealed",
                scopes=["*"],
                allowed_addresses=["127.0.0.1/32"],
                slot=1,
                created_at=START,
                created_by="bootstrap",
            )
        )
        account = AdminAccount(
            id="sa_1",
            kind="service_account",
            client_id="ci",
            organisation="shop",
            name="ci",
            secret_hash="1" * 64,
            last_four="wxyz",
            scopes=["routes:read"],
            created_at=START,
            created_by="bootstrap",
        )
        session.add(account)
        await session.flush()
        session.add(AdminNonce(key_id="key_1", nonce="n" * 16, expires_at=START))
        session.add(
            AdminToken(
                id="tok_1",
                account_id="sa_1",
                family="tok_1",
                family_at=START,
                issued_at=START,
                expires_at=START,
            )
        )


async def test_the_migrations_make_exactly_the_tables_of_the_program(
    empty_database: DatabasePlace,
) -> None:
    await migrate.upgrade(empty_database.url)

    def difference(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, METADATA))

    async with Database(empty_database.url) as database, database.reading() as session:
        assert await (await session.connection()).run_sync(difference) == []


async def test_every_step_can_be_taken_back_and_again_with_data(
    empty_database: DatabasePlace,
) -> None:
    url = empty_database.url
    revisions = [each.revision for each in scripts().walk_revisions()]
    await migrate.upgrade(url)
    await fill(url)
    for step, revision in enumerate(revisions, start=1):
        await migrate.downgrade(url, "-1")
        assert await migrate.current(url) == (revisions[step] if step < len(revisions) else "")
        await migrate.upgrade(url)
        await migrate.downgrade(url, revision)
        await migrate.downgrade(url, "-1")
    assert await tables(url) == set()
    await migrate.upgrade(url)
    assert await tables(url) == set(METADATA.tables)


async def test_a_step_up_keeps_what_is_there(empty_database: DatabasePlace) -> None:
    url = empty_database.url
    await migrate.upgrade(url, "0001")
    async with Database(url) as database:
        await fill_credentials(database)
    await migrate.upgrade(url)
    async with Database(url) as database, database.reading() as session:
        counts = [
            await session.scalar(select(func.count()).select_from(each))
            for each in (AdminKey, AdminNonce, AdminAccount, AdminToken)
        ]
    assert counts == [1, 1, 1, 1]


OLD_CALLS = """
INSERT INTO audit_records
    (at, request_id, principal, method, path, status, error, address, seconds, objects)
VALUES ('2030-05-17 12:00:00.000000', :id, :principal, 'GET', '/v2/objects/Route/bank/x', 404,
        'not_found', '127.0.0.1', 0.1, '[]')
"""
CALLERS = {
    "key:ci (key_1)": "key_1",
    "key:odd (key_2) name (key_3)": "key_3",
    "kubernetes:ci (system:serviceaccount:shop:ci)": "system:serviceaccount:shop:ci",
    "": None,
}


async def test_calls_from_before_anybody_could_read_them_stay_and_are_nobodys(
    empty_database: DatabasePlace,
) -> None:
    url = empty_database.url
    await migrate.upgrade(url, "0002")
    async with Database(url) as database:
        async with database.writing() as session:
            for number, principal in enumerate(CALLERS):
                given = {"id": f"req_{number}", "principal": principal}
                await session.execute(text(OLD_CALLS), given)
        for revision in ("0003", "0002", "0003"):
            if revision == "0002":
                await migrate.downgrade(url, revision)
                continue
            await migrate.upgrade(url, revision)
            async with database.reading() as session:
                rows = (await session.scalars(select(AuditRow))).all()
            assert {each.principal: each.principal_id for each in rows} == CALLERS
            assert {(each.organisation, each.namespaces) for each in rows} == {(None, None)}


async def test_a_step_down_keeps_what_is_not_its_own(empty_database: DatabasePlace) -> None:
    url = empty_database.url
    await migrate.upgrade(url)
    await fill(url)
    await migrate.downgrade(url, "0001")
    assert await tables(url) == {name for name in METADATA.tables if name.startswith("admin_")}
    await migrate.upgrade(url)
    async with Database(url) as database:
        assert await told(SqlHistory(database, Clock())) == []
        async with database.reading() as session:
            assert await session.scalar(select(AdminKey.name)) == "ci"


def test_the_steps_form_one_line() -> None:
    assert len(scripts().get_heads()) == 1
    assert [len(each.nextrev) for each in scripts().walk_revisions()].count(0) == 1


async def test_several_replicas_may_migrate_at_once(empty_database: DatabasePlace) -> None:
    program = (
        "import asyncio, sys\n"
        "from fluxgate_admin.db import migrate\n"
        "sys.stdin.readline()\n"
        "asyncio.run(migrate.upgrade(sys.argv[1]))\n"
    )
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": STDOUT}
    command = (sys.executable, "-c", program, empty_database.url)
    replicas = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(3)]
    said = await asyncio.gather(*(each.communicate(b"go\n") for each in replicas))
    assert [each.returncode for each in replicas] == [0, 0, 0], said
    assert sum(b"database_migrated" in output for output, _ in said) == 1
    assert await migrate.current(empty_database.url) == migrate.head()


async def test_replicas_wait_for_the_one_that_migrates(postgres: Postgres) -> None:
    url = postgres.new_database()
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with Database(url, seconds=PATIENCE) as database:

        async def both_wait() -> bool:
            async with database.reading() as session:
                return await session.scalar(waiting) == 2

        async with database.writing(lock=migrate.LOCK):
            replicas = asyncio.gather(*(migrate.upgrade(url) for _ in range(2)))
            await until(both_wait, "both wait", seconds=PATIENCE - 5)
            assert await tables(url) == set()
        await replicas
    assert await migrate.current(url) == migrate.head()


async def test_a_failed_step_leaves_the_database_as_it_was(
    empty_database: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HalfWayError(Exception):
        pass

    def fails(_: Connection) -> str:
        if fails.calls:
            raise HalfWayError
        fails.calls.append(1)
        return ""

    fails.calls = []
    monkeypatch.setattr(migrate, "_revision", fails)
    with pytest.raises(HalfWayError):
        await migrate.upgrade(empty_database.url)
    assert await tables(empty_database.url) == set()


async def test_a_program_says_what_to_do_about_a_database_of_another_version(
    empty_database: DatabasePlace,
) -> None:
    with pytest.raises(migrate.SchemaError, match="fluxgate admin migrate"):
        await migrate.require_head(empty_database.url)
    await migrate.upgrade(empty_database.url)
    await migrate.require_head(empty_database.url)
    async with Database(empty_database.url) as database, database.writing() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(migrate.SchemaError, match="9999"):
        await migrate.require_head(empty_database.url)


def scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
