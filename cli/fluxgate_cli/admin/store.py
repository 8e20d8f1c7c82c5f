"""The database of the admin API, made ready for use; and the first key in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from structlog.typing import FilteringBoundLogger

from fluxgate.ports import ClusterIdentities
from fluxgate_admin.access import Access, build_access
from fluxgate_admin.auth.addresses import LOOPBACK, AddressFormatError
from fluxgate_admin.auth.bootstrap import ORGANISATION, bootstrap
from fluxgate_admin.auth.records import IssuedKey
from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from fluxgate_admin.deps import now_utc
from fluxgate_admin.secret_box import SecretBoxError
from fluxgate_admin.settings import AdminSettings
from fluxgate_cli.errors import CliError, UsageError


async def prepare(settings: AdminSettings, log: FilteringBoundLogger) -> None:
    """Bring a SQLite file up to date, as there is nobody else to do it; of others, see that they are.

    Raises :class:`UsageError`: `fluxgate admin migrate` is for those.
    """
    if is_sqlite(settings.database):
        await upgrade(settings.database, log)
        return
    try:
        await migrate.require_head(settings.database)
    except migrate.SchemaError as error:
        raise UsageError(str(error)) from None
    except (SQLAlchemyError, OSError) as error:
        raise _unreachable(settings.database, error) from error


async def upgrade(database: str, log: FilteringBoundLogger) -> None:
    """Bring any database up to date; several may try at once."""
    try:
        if is_sqlite(database) and (file := make_url(database).database):
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        await migrate.upgrade(database, log=log)
    except (SQLAlchemyError, OSError) as error:
        raise _unreachable(database, error) from error


def is_sqlite(url: str) -> bool:
    """Whether the database is a file. Raises :class:`UsageError` for what is no URL."""
    try:
        return make_url(url).get_backend_name() == "sqlite"
    except ArgumentError:
        raise UsageError(
            "the database is no URL", "Write for example sqlite+aiosqlite:///admin.db."
        ) from None


@contextlib.asynccontextmanager
async def opened(
    settings: AdminSettings, log: FilteringBoundLogger, *, sealing: bool = True
) -> AsyncIterator[Access]:
    """Who may call, by a database that is up to date. Raises as :func:`access_to`."""
    async with Database(settings.database, log=log) as database:
        access = await access_to(settings, database, log, sealing=sealing)
        try:
            yield access
        finally:
            await access.close()


async def access_to(
    settings: AdminSettings,
    database: Database,
    log: FilteringBoundLogger,
    identities: ClusterIdentities | None = None,
    *,
    sealing: bool = True,
) -> Access:
    """Who may call, once every secret that is kept was opened with the master keys, and sealed by the first.

    With ``sealing`` False no secret is touched. Raises :class:`UsageError` for master keys and networks that cannot be used; close what it gives.
    """
    try:
        access = build_access(settings, database, now_utc, identities, log)
        try:
            if sealing:
                await access.seal_anew()
        except BaseException:
            await access.close()
            raise
    except (SecretBoxError, AddressFormatError) as error:
        raise UsageError(str(error)) from None
    return access


async def first_key(
    settings: AdminSettings,
    log: FilteringBoundLogger,
    *,
    name: str = "bootstrap",
    organisation: str = ORGANISATION,
    addresses: tuple[str, ...] = (),
) -> IssuedKey:
    """Make the first key. Raises ``ConflictError`` when the organisation has one, and as :func:`opened`."""
    async with opened(settings, log) as access:
        return await bootstrap(
            access.keys,
            organisation=organisation,
            name=name,
            allowed_addresses=addresses or LOOPBACK,
        )


def _unreachable(database: str, error: Exception) -> CliError:
    name = make_url(database).render_as_string(hide_password=True)
    said = str(getattr(error, "orig", None) or error).strip()
    return CliError(f"the database {name} cannot be used: {said}")
