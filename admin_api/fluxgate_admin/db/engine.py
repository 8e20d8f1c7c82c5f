"""Engines for the two databases, each told once what it must keep and how long it may take.

SQLite runs in WAL with ``synchronous=FULL``: a committed intent outlives a power cut, and readers never
wait for a writer. SQLAlchemy says ``BEGIN`` itself (its documentation, "Transactions with SQLite"), and
``BEGIN IMMEDIATE`` for a transaction that will write: one that begins by reading and then writes could
otherwise only fail with ``database is locked``, however long it was willing to wait.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

WRITES = "fluxgate_writes"
"""Execution option of a connection whose transactions write."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


class DatabaseUrlError(ValueError):
    """The URL names no database that can be used; says which can."""


def database_url(text: str) -> URL:
    """The URL with our drivers. Raises :class:`DatabaseUrlError`, which never repeats a password."""
    remedy = "use sqlite:////path/to/admin.db or postgresql://user@host/database"
    try:
        url = make_url(text)
    except ArgumentError:
        raise DatabaseUrlError(f"the database is not a URL: {remedy}") from None
    backend = url.get_backend_name()
    if backend not in _DRIVERS:
        raise DatabaseUrlError(f"{backend} is not a database FluxGate can use: {remedy}")
    if backend == "sqlite" and (url.database in {None, "", ":memory:"} or "mode" in url.query):
        raise DatabaseUrlError(f"SQLite needs a file, or keys would be gone at a restart: {remedy}")
    return url.set(drivername=_DRIVERS[backend])


def create_engine(url: URL, *, seconds: float, migrating: bool = False) -> AsyncEngine:
    """An engine whose statements and waits for locks end after ``seconds``.

    ``migrating``: one connection without those limits, and with SQLite's foreign keys off, because
    SQLite changes a table by making it anew.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, seconds=seconds, migrating=migrating)
    return _postgresql(url, seconds=seconds, migrating=migrating)


def _sqlite(url: URL, *, seconds: float, migrating: bool) -> AsyncEngine:
    _own_file(Path(url.database or ""))
    arguments: dict[str, Any] = {"poolclass": NullPool} if migrating else {"pool_size": 5}
    engine = create_async_engine(url, hide_parameters=True, **arguments)
    # a little less than the transaction has, so that SQLite says itself what it waited for
    patience = 60_000 if migrating else int(seconds * 800)
    keys = "OFF" if migrating else "ON"

    def connected(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # sqlite3 begins no transactions of its own any more: the listener below does
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={patience}",
            "journal_mode=WAL",
            "synchronous=FULL",
            f"foreign_keys={keys}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _own_file(path: Path) -> None:
    """The file, for its owner alone: it holds digests of keys. SQLite gives its WAL the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _postgresql(url: URL, *, seconds: float, migrating: bool) -> AsyncEngine:
    limit = 0 if migrating else int(seconds * 1000)
    given = str(url.query.get("options", ""))
    told = f"-c statement_timeout={limit} -c idle_in_transaction_session_timeout=60000"
    arguments: dict[str, Any] = {
        "connect_timeout": max(2, int(seconds)),
        "application_name": "fluxgate-admin",
        # what the URL says itself comes last, so it wins
        "options": f"{told} {given}".strip(),
    }
    pool: dict[str, Any] = {"poolclass": NullPool}
    if not migrating:
        pool = {"pool_size": 5, "max_overflow": 5, "pool_timeout": seconds, "pool_pre_ping": True}
    return create_async_engine(
        url.difference_update_query(["options"]),
        hide_parameters=True,
        connect_args=arguments,
        **pool,
    )
