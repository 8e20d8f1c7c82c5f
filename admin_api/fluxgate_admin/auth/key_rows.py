"""Rows of keys: how they are found, made and given up."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate_admin.auth.records import MAX_ACTIVE_KEYS, Key
from fluxgate_admin.auth.tables import AdminKey
from fluxgate_admin.errors import ConflictError


def about_signing(key_id: str) -> str:
    """What the signing secret of a key is sealed for."""
    return f"admin_keys/{key_id}/signing_secret"


def key_of(row: AdminKey) -> Key:
    """A row without its secrets."""
    return Key(
        id=row.id,
        organisation=row.organisation,
        name=row.name,
        prefix=row.prefix,
        last_four=row.last_four,
        scopes=frozenset(row.scopes),
        namespaces=None if row.namespaces is None else frozenset(row.namespaces),
        allowed_addresses=tuple(row.allowed_addresses),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        replaced_by=row.replaced_by,
    )


async def find(session: AsyncSession, key_id: str) -> Key | None:
    """A key by its id."""
    row = await session.get(AdminKey, key_id)
    return None if row is None else key_of(row)


async def free_slot(session: AsyncSession, organisation: str, now: dt.datetime) -> int:
    """A place among the five; expired keys give theirs up.

    Two who ask at once get the same one; the constraint of the table lets one of them have it.
    Raises :class:`ConflictError` ``key_limit`` when all are taken.
    """
    await session.execute(
        update(AdminKey)
        .where(
            AdminKey.organisation == organisation,
            or_(AdminKey.expires_at <= now, AdminKey.revoked_at.is_not(None)),
        )
        .values(slot=None)
    )
    taken = set(
        await session.scalars(
            select(AdminKey.slot).where(
                AdminKey.organisation == organisation, AdminKey.slot.is_not(None)
            )
        )
    )
    for slot in range(1, MAX_ACTIVE_KEYS + 1):
        if slot not in taken:
            return slot
    raise ConflictError(
        f"The organisation has {MAX_ACTIVE_KEYS} active keys already, which is the most it can have: "
        "revoke one first (or rotate one with overlap_seconds 0).",
        error="key_limit",
    )


async def retire(
    session: AsyncSession, key: Key, new_id: str, now: dt.datetime, overlap: dt.timedelta
) -> bool:
    """Let a key end after ``overlap``, replaced by ``new_id``; whether it was still there to be replaced.

    Without an overlap its place is free at once.
    """
    until = now + overlap if key.expires_at is None else min(key.expires_at, now + overlap)
    ends = {"expires_at": until} if overlap else {"revoked_at": now, "slot": None}
    changed = await session.execute(
        update(AdminKey)
        .where(
            AdminKey.id == key.id,
            AdminKey.replaced_by.is_(None),
            AdminKey.revoked_at.is_(None),
            or_(AdminKey.expires_at.is_(None), AdminKey.expires_at > now),
        )
        .values(replaced_by=new_id, **ends)
    )
    assert isinstance(changed, CursorResult)
    return changed.rowcount == 1


async def revoke(session: AsyncSession, key_id: str, now: dt.datetime) -> None:
    """End a key now; a second time changes nothing."""
    await session.execute(
        update(AdminKey)
        .where(AdminKey.id == key_id, AdminKey.revoked_at.is_(None))
        .values(revoked_at=now, slot=None)
    )
