"""Migrations: the schema of the database, step by step, up and down.

Each run is one transaction under one lock, so two replicas may start at once: the second finds nothing to do.
New steps are modules ``NNNN_words.py`` in ``migrations/versions``; they form one line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.db.engine import WRITES, create_engine, database_url
from fluxgate_admin.db.schema import METADATA
from fluxgate_admin.errors import AdminError

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext

_log = structlog.get_logger("fluxgate.admin")
_SCRIPTS = Path(__file__).parent / "migrations"
LOCK = 0x466C7578_6D6967
"""Of PostgreSQL's advisory locks: "Fluxmig" in ASCII."""


class SchemaError(AdminError):
    """The database is not at the version this program needs; the message says what to do."""

    status = 503
    default_error = "schema"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision of the schema this program knows."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


async def upgrade(
    url: str, revision: str = "head", log: FilteringBoundLogger | None = None
) -> None:
    """Bring the database up to ``revision``. Does nothing when it is there."""
    await _migrate(url, revision, upwards=True, log=log or _log)


async def downgrade(url: str, revision: str) -> None:
    """Take the database back to ``revision`` (``base``: no tables), dropping what later steps added."""
    await _migrate(url, revision, upwards=False, log=_log)


async def current(url: str) -> str:
    """The revision the database is at; empty for a new one."""
    engine = create_engine(database_url(url), seconds=10, migrating=True)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_revision)
    finally:
        await engine.dispose()


async def require_head(url: str) -> None:
    """Raise :class:`SchemaError` unless the database is at the version this program was made for."""
    found = await current(url)
    if found != head():
        raise SchemaError(
            f"the database is at revision {found or '(none)'} and this program needs {head()}: "
            "run `fluxgate admin migrate`"
        )


async def _migrate(url: str, revision: str, *, upwards: bool, log: FilteringBoundLogger) -> None:
    engine = create_engine(database_url(url), seconds=60, migrating=True)
    try:
        # Alembic finds a transaction begun, and leaves its end to us
        async with engine.execution_options(**{WRITES: True}).begin() as connection:
            before, after = await connection.run_sync(_run, revision, upwards)
    finally:
        await engine.dispose()
    if before != after:
        log.info("database_migrated", revision_before=before, revision=after)


def _run(connection: Connection, revision: str, upwards: bool) -> tuple[str, str]:
    postgresql = connection.dialect.name == "postgresql"
    if postgresql:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    before = _revision(connection)
    config = _config(connection)
    if upwards:
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)
    if not postgresql and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise SchemaError(f"the migration would leave rows that refer to nothing: {broken}")
    return before, _revision(connection)


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def run_environment(context: EnvironmentContext) -> None:
    """What Alembic's ``env.py`` does: use the connection, and the transaction, that it is given."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()
