"""What credentials leave behind, cleared away; and secrets sealed anew after a change of master keys."""

from __future__ import annotations

from sqlalchemy import CursorResult, delete, select

from fluxgate_admin.auth.key_rows import about_signing
from fluxgate_admin.auth.records import Clock
from fluxgate_admin.auth.signing_keys import about_private_key
from fluxgate_admin.auth.tables import AdminKey, AdminNonce, AdminSigningKey, AdminToken
from fluxgate_admin.db.database import Database
from fluxgate_admin.secret_box import SecretBox


async def forget_expired(database: Database, clock: Clock) -> int:
    """Delete nonces whose signatures are too old to be taken, and tokens that have expired; how many."""
    now = clock()
    async with database.writing() as session:
        gone = [
            await session.execute(delete(AdminNonce).where(AdminNonce.expires_at < now)),
            await session.execute(delete(AdminToken).where(AdminToken.expires_at < now)),
        ]
    return sum(each.rowcount for each in gone if isinstance(each, CursorResult))


async def seal_anew(database: Database, box: SecretBox) -> int:
    """Seal everything with the first master key, so that the others can be taken away; how many were not.

    Raises ``SecretBoxError`` for what no master key opens: at a start, that is better than at a request.
    """
    changed = 0
    async with database.writing() as session:
        for key in await session.scalars(select(AdminKey).with_for_update()):
            secret = box.unseal(key.signing_secret, about_signing(key.id))
            if not box.is_current(key.signing_secret):
                key.signing_secret = box.seal(secret, about_signing(key.id))
                changed += 1
        for signing in await session.scalars(select(AdminSigningKey).with_for_update()):
            secret = box.unseal(signing.private_key, about_private_key(signing.id))
            if not box.is_current(signing.private_key):
                signing.private_key = box.seal(secret, about_private_key(signing.id))
                changed += 1
    return changed
