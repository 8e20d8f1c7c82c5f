"""The database of one process: opened once, handed to every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.db.engine import WRITES, create_engine, database_url
from fluxgate_admin.errors import UnavailableError

_GRACE = 1.0
"""Seconds a statement has to end after it was cancelled."""


class Database:
    """Transactions on SQLite or PostgreSQL, each bounded by ``seconds``.

    Opening makes no connection and no table: ``migrate.upgrade`` does, first. Every transaction raises
    ``UnavailableError`` when the database does not answer in time; nothing of it is kept then, unless the
    answer to its commit was lost.
    """

    def __init__(
        self, url: str, *, seconds: float = 5.0, log: FilteringBoundLogger | None = None
    ) -> None:
        self._url = database_url(url)
        self._seconds = seconds
        self._log = log if log is not None else structlog.get_logger("fluxgate.admin")
        self._engine = create_engine(self._url, seconds=seconds)
        writing = self._engine.execution_options(**{WRITES: True})
        self._readers = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writers = async_sessionmaker(writing, expire_on_commit=False)
        # writers of one process queue here, in order, instead of polling SQLite's lock
        self._turn = asyncio.Lock() if self.is_sqlite else None

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file: then there is one writer at a time."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """What to call it in messages: the URL without its password."""
        return self._url.render_as_string(hide_password=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let every connection go."""
        await self._engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database and changes nothing."""
        async with self._bounded(), self._readers.begin() as session:
            yield session

    @asynccontextmanager
    async def writing(self, lock: int | None = None) -> AsyncIterator[AsyncSession]:
        """A session that is committed when the block ends, and rolled back when it raises.

        ``lock`` names what only one transaction of all processes may do at a time. (On SQLite that is so
        for all writing.)
        """
        async with self._bounded(), self._queue(), self._writers.begin() as session:
            if lock is not None and not self.is_sqlite:
                await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
            yield session

    async def check(self) -> None:
        """Raise ``UnavailableError`` unless the database answers."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    @asynccontextmanager
    async def _queue(self) -> AsyncIterator[None]:
        if self._turn is None:
            yield
            return
        async with self._turn:
            yield

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """What the driver says of a database that is away, as one error; its own words go to the log.

        What the program did wrong (``IntegrityError`` and the like) is none of that.
        """
        try:
            # psycopg answers a cancellation by asking the server to cancel, and waits for it up to ten
            # seconds; the second one makes it let go of a server that stands still
            async with asyncio.timeout(self._seconds + _GRACE), asyncio.timeout(self._seconds):
                yield
        except (IntegrityError, DataError, ProgrammingError):
            raise
        except (DBAPIError, PoolTimeoutError, TimeoutError, OSError) as error:
            said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
            self._log.warning("database_unavailable", database=self.name, error=said)
            raise UnavailableError(
                "the database does not answer; try again", headers={"retry-after": "1"}
            ) from error
