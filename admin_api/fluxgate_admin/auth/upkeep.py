"""What credentials leave behind, cleared away; and secrets sealed anew after a change of master keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, delete, func, select
from sqlalchemy.orm import InstrumentedAttribute

from fluxgate_admin.auth.key_rows import about_signing
from fluxgate_admin.auth.records import Clock
from fluxgate_admin.auth.signing_keys import about_private_key
from fluxgate_admin.auth.tables import AdminKey, AdminNonce, AdminSigningKey, AdminToken
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.idempotency import about_answer
from fluxgate_admin.db.tables import AnswerRow
from fluxgate_admin.secret_box import SecretBox, SecretBoxError

_AT_ONCE = 100
"""Rows of one transaction: others may write between two."""


async def forget_expired(database: Database, clock: Clock) -> int:
    """Delete nonces whose signatures are too old to be taken, and tokens that have expired; how many."""
    now = clock()
    async with database.writing() as session:
        gone = [
            await session.execute(delete(AdminNonce).where(AdminNonce.expires_at < now)),
            await session.execute(delete(AdminToken).where(AdminToken.expires_at < now)),
        ]
    return sum(each.rowcount for each in gone if isinstance(each, CursorResult))


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A column of sealed values. ``lasting`` ones must open; the others are soon forgotten anyway."""

    table: Any
    column: InstrumentedAttribute[Any]
    about: Callable[[str], str]
    lasting: bool = True


_CREDENTIALS = (
    _Sealed(AdminKey, AdminKey.signing_secret, about_signing),
    _Sealed(AdminSigningKey, AdminSigningKey.private_key, about_private_key),
)
_EVERYTHING = (*_CREDENTIALS, _Sealed(AnswerRow, AnswerRow.answer, about_answer, lasting=False))


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How many sealed values were looked at, were sealed anew, and are opened by no master key."""

    looked_at: int = 0
    changed: int = 0
    lost: int = 0

    def __add__(self, other: Rewrapped) -> Rewrapped:
        return Rewrapped(
            self.looked_at + other.looked_at, self.changed + other.changed, self.lost + other.lost
        )


async def seal_anew(database: Database, box: SecretBox) -> int:
    """Seal secrets of credentials with the first master key; how many were not.

    Raises ``SecretBoxError`` for what no master key opens: at a start, that is better than at a request.
    """
    return (await _rewrap(database, box, _CREDENTIALS, lambda _: None)).changed


async def rewrap(database: Database, box: SecretBox, advance: Callable[[int], None]) -> Rewrapped:
    """Seal everything with the first master key, so that the others can be taken away.

    In steps of a few rows, beside whoever serves: interrupted or done twice it does the rest. ``advance`` is told
    after each step of how many rows. Raises ``SecretBoxError`` for a credential that no master key opens.
    """
    return await _rewrap(database, box, _EVERYTHING, advance)


async def sealed_rows(database: Database) -> int:
    """How many rows :func:`rewrap` will look at."""
    found = 0
    async with database.reading() as session:
        for each in _EVERYTHING:
            query = select(func.count()).select_from(each.table).where(each.column.is_not(None))
            found += (await session.scalar(query)) or 0
    return found


async def _rewrap(
    database: Database, box: SecretBox, kinds: Sequence[_Sealed], advance: Callable[[int], None]
) -> Rewrapped:
    total = Rewrapped()
    for kind in kinds:
        after = ""
        while True:
            step, after = await _step(database, box, kind, after)
            if not step.looked_at:
                break
            total += step
            advance(step.looked_at)
    return total


async def _step(
    database: Database, box: SecretBox, kind: _Sealed, after: str
) -> tuple[Rewrapped, str]:
    """Some rows behind ``after``, and the last of them."""
    table, name = kind.table, kind.column.key
    query = (
        select(table)
        .where(table.id > after, kind.column.is_not(None))
        .order_by(table.id)
        .limit(_AT_ONCE)
        .with_for_update()
    )
    changed = lost = 0
    async with database.writing() as session:
        rows = list(await session.scalars(query))
        for row in rows:
            sealed: str = getattr(row, name)
            try:
                secret = box.unseal(sealed, kind.about(row.id))
            except SecretBoxError:
                if kind.lasting:
                    raise
                lost += 1
                continue
            if not box.is_current(sealed):
                setattr(row, name, box.seal(secret, kind.about(row.id)))
                changed += 1
    return Rewrapped(len(rows), changed, lost), rows[-1].id if rows else after
