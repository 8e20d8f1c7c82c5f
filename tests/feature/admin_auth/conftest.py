"""The authentication of the admin API over a real database."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.admin_auth import Api, Signing, auth_api
from support.databases import (
    database,
    database_place,
    empty_database,
    kind_of_database,
    migrated_file,
    migrated_template,
    postgres,
)

from fluxgate_admin.db.database import Database

__all__ = [
    "database",
    "database_place",
    "empty_database",
    "kind_of_database",
    "migrated_file",
    "migrated_template",
    "postgres",
]


@pytest.fixture
async def sqlite(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A database in a file."""
    shutil.copy(migrated_file, tmp_path / "admin.db")
    async with Database(f"sqlite:///{tmp_path}/admin.db") as opened:
        yield opened


@pytest.fixture
async def api(sqlite: Database) -> AsyncIterator[Api]:
    """The API, on SQLite."""
    async with auth_api(sqlite) as opened:
        yield opened


@pytest.fixture
async def admin(api: Api) -> Signing:
    """The first key, which may everything."""
    return await api.first_key()
