"""Databases for tests: the same test on SQLite and on PostgreSQL, each with a database of its own.

A folder's ``conftest.py`` imports the fixtures it uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from support.postgres import Postgres


@dataclass(frozen=True)
class DatabasePlace:
    """Where a test's database is: ``postgres`` is its server, None for a file."""

    url: str
    postgres: Postgres | None
    file: Path | None

    def dump(self) -> str:
        """Everything it holds, as text."""
        if self.postgres is not None:
            return self.postgres.dump(self.url)
        assert self.file is not None
        files = (self.file, *self.file.parent.glob(f"{self.file.name}-*"))
        return "".join(each.read_bytes().decode("latin-1") for each in files)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL all tests of this process share. Do not stop it."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> DatabasePlace:
    """A database without tables."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return DatabasePlace(server.new_database(), server, None)
    file = tmp_path / "admin.db"
    return DatabasePlace(f"sqlite+aiosqlite:///{file}", None, file)


@pytest.fixture
async def database_place(empty_database: DatabasePlace) -> DatabasePlace:
    """A database at the newest revision of the schema."""
    await migrate.upgrade(empty_database.url)
    return empty_database


@pytest.fixture
async def database(database_place: DatabasePlace) -> AsyncIterator[Database]:
    """An open database at the newest revision of the schema."""
    async with Database(database_place.url) as opened:
        yield opened
