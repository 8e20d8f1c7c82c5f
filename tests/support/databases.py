"""Databases for tests: the same test on SQLite and on PostgreSQL, each with a database of its own.

A folder's ``conftest.py`` imports the fixtures it uses.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from support.postgres import Postgres

PATIENCE = 30.0
"""Seconds a transaction of a test may take: the machine may be busy."""


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


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database at the newest revision of the schema, to be copied."""
    file = tmp_path_factory.mktemp("database") / "template.db"
    asyncio.run(migrate.upgrade(f"sqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres) -> str:
    """The name of a PostgreSQL database at the newest revision of the schema, to be copied."""
    url = postgres.new_database()
    asyncio.run(migrate.upgrade(url))
    return Postgres.name_of(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def kind_of_database(request: pytest.FixtureRequest) -> str:
    """Both, one after the other."""
    return str(request.param)


@pytest.fixture
def empty_database(
    kind_of_database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> DatabasePlace:
    """A database without tables."""
    if kind_of_database == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return DatabasePlace(server.new_database(), server, None)
    file = tmp_path / "admin.db"
    return DatabasePlace(f"sqlite+aiosqlite:///{file}", None, file)


@pytest.fixture
def database_place(
    kind_of_database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> DatabasePlace:
    """A database at the newest revision of the schema."""
    if kind_of_database == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        template = request.getfixturevalue("migrated_template")
        return DatabasePlace(server.new_database(template), server, None)
    file = tmp_path / "admin.db"
    shutil.copy(request.getfixturevalue("migrated_file"), file)
    return DatabasePlace(f"sqlite+aiosqlite:///{file}", None, file)


@pytest.fixture
async def database(database_place: DatabasePlace) -> AsyncIterator[Database]:
    """An open database at the newest revision of the schema."""
    async with Database(database_place.url, seconds=PATIENCE) as opened:
        yield opened
