"""Keys of this API: made, shown without themselves, changed, rotated, revoked."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate.apikeys.format import digest, mint
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth import key_rows
from fluxgate_admin.auth.addresses import AddressFormatError, networks
from fluxgate_admin.auth.records import Clock, IssuedKey, Key, KeyChange, NewKey, Page
from fluxgate_admin.auth.rights import (
    check_grant,
    check_takeover,
    organisation_for,
    reaches_others,
    sees,
    visible,
)
from fluxgate_admin.auth.tables import AdminKey
from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import ConflictError, UnprocessableError
from fluxgate_admin.principal import ALL, Principal
from fluxgate_admin.secret_box import SecretBox

SIGNING_SECRET_PREFIX = "fss_"  # noqa: S105 - what a secret begins with
MAX_OVERLAP = dt.timedelta(days=7)
_RANDOM_BYTES = 24
_ATTEMPTS = 6
"""One more than there are places: who loses every one of them finds none free."""


class Keys:
    """The keys of every organisation; callers see theirs.

    ``prefix`` is ``sk_live_`` or ``sk_test_``. Every method raises ``UnavailableError`` without a database.
    """

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        clock: Clock,
        prefix: str,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._box = box
        self._clock = clock
        self._prefix = prefix
        self._random = random

    async def create(self, caller: Principal, new: NewKey) -> IssuedKey:
        """A new key. Raises as ``rights.check_grant``, and :class:`ConflictError` ``key_limit``."""
        organisation = organisation_for(caller, new.organisation)
        check_grant(caller, new.scopes, new.namespaces)
        _check_addresses(new.allowed_addresses)
        self._check_expiry(new.expires_at)
        return await self._issue(new, organisation, caller.author)

    async def list(self, caller: Principal, page: Page, organisation: str = "") -> Sequence[Key]:
        """Keys the caller sees, by id; revoked and expired ones, too."""
        query = select(AdminKey).where(AdminKey.id > page.after).order_by(AdminKey.id)
        if organisation or not reaches_others(caller):
            query = query.where(AdminKey.organisation == (organisation or caller.organisation))
        found: list[Key] = []
        async with self._database.reading() as session:
            for row in await session.scalars(query):
                key = key_rows.key_of(row)
                if sees(caller, key):
                    found.append(key)
                if len(found) == page.limit:
                    break
        return found

    async def get(self, caller: Principal, key_id: str) -> Key:
        """One key. Raises :class:`NotFoundError`, also for one the caller does not see."""
        async with self._database.reading() as session:
            return await self._visible(session, caller, key_id)

    async def change(self, caller: Principal, key_id: str, change: KeyChange) -> Key:
        """Another name, other networks, an (earlier or later) end. Raises as :meth:`rotate`."""
        if change.allowed_addresses is not None:
            _check_addresses(change.allowed_addresses)
        self._check_expiry(change.expires_at)
        async with self._database.writing() as session:
            key = await self._visible(session, caller, key_id)
            check_takeover(caller, key)
            self._check_active(key)
            row = await session.get_one(AdminKey, key_id)
            row.name = change.name or row.name
            if change.allowed_addresses is not None:
                row.allowed_addresses = list(change.allowed_addresses)
            row.expires_at = change.expires_at or row.expires_at
            await session.flush()
            return key_rows.key_of(row)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """End a key at once, for good. Doing it twice does it once."""
        async with self._database.writing() as session:
            await self._visible(session, caller, key_id)
            await key_rows.revoke(session, key_id, self._clock())

    async def rotate(self, caller: Principal, key_id: str, overlap: dt.timedelta) -> IssuedKey:
        """A successor with the same rights and the same end; the old one works for ``overlap`` longer.

        Raises :class:`NotFoundError`, :class:`ScopeMismatchError` for a key that may more than the caller,
        :class:`ConflictError` (``key_not_active``, ``key_limit``: with an overlap both count).
        """
        if not dt.timedelta(0) <= overlap <= MAX_OVERLAP:
            message = f"overlap_seconds is 0 to {int(MAX_OVERLAP.total_seconds())}."
            raise UnprocessableError(message, [{"pointer": "/overlap_seconds", "message": message}])
        old = await self.get(caller, key_id)
        check_takeover(caller, old)
        self._check_active(old)
        new = NewKey(
            name=old.name,
            scopes=old.scopes,
            namespaces=old.namespaces,
            allowed_addresses=old.allowed_addresses,
            expires_at=old.expires_at,
        )
        return await self._issue(new, old.organisation, caller.author, replaces=(old, overlap))

    async def issue_first(
        self, organisation: str, name: str, allowed_addresses: tuple[str, ...]
    ) -> IssuedKey | None:
        """The key that may everything, for an organisation without any active key; None when it has one.

        Two who try at once: one gets it.
        """
        _check_addresses(allowed_addresses)
        new = NewKey(name, frozenset({ALL}), None, allowed_addresses)
        try:
            async with self._database.writing() as session:
                if await key_rows.free_slot(session, organisation, self._clock()) != 1:
                    return None
                if await self._others(session, organisation):
                    return None
                return await self._insert(session, new, organisation, "bootstrap", slot=1)
        except IntegrityError:
            return None

    async def exist(self) -> bool:
        """Whether there is any key that can be used."""
        now = self._clock()
        query = select(AdminKey).where(AdminKey.revoked_at.is_(None))
        async with self._database.reading() as session:
            return any(key_rows.key_of(row).active(now) for row in await session.scalars(query))

    async def _others(self, session: AsyncSession, organisation: str) -> bool:
        query = select(AdminKey.id).where(
            AdminKey.organisation == organisation, AdminKey.slot.is_not(None)
        )
        return (await session.scalars(query.limit(1))).first() is not None

    async def _issue(
        self,
        new: NewKey,
        organisation: str,
        author: str,
        replaces: tuple[Key, dt.timedelta] | None = None,
    ) -> IssuedKey:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._try_to_issue(new, organisation, author, replaces)
            except IntegrityError:  # another replica took the place meanwhile
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _try_to_issue(
        self,
        new: NewKey,
        organisation: str,
        author: str,
        replaces: tuple[Key, dt.timedelta] | None,
    ) -> IssuedKey:
        now = self._clock()
        async with self._database.writing() as session:
            new_id = self._id()
            if replaces is not None:
                old, overlap = replaces
                if not await key_rows.retire(session, old, new_id, now, overlap):
                    raise _not_active(old)
            slot = await key_rows.free_slot(session, organisation, now)
            return await self._insert(session, new, organisation, author, slot, new_id)

    async def _insert(
        self,
        session: AsyncSession,
        new: NewKey,
        organisation: str,
        author: str,
        slot: int,
        new_id: str = "",
    ) -> IssuedKey:
        text = mint(self._prefix, self._random(_RANDOM_BYTES))
        signing_secret = SecretBytes(
            mint(SIGNING_SECRET_PREFIX, self._random(_RANDOM_BYTES)).encode()
        )
        key_id = new_id or self._id()
        row = AdminKey(
            id=key_id,
            organisation=organisation,
            name=new.name,
            hash=digest(text),
            prefix=self._prefix,
            last_four=text[-4:],
            signing_secret=self._box.seal(signing_secret, key_rows.about_signing(key_id)),
            scopes=sorted(new.scopes),
            namespaces=None if new.namespaces is None else sorted(new.namespaces),
            allowed_addresses=list(new.allowed_addresses),
            slot=slot,
            created_at=self._clock(),
            created_by=author,
            expires_at=new.expires_at,
        )
        session.add(row)
        await session.flush()
        return IssuedKey(key_rows.key_of(row), SecretBytes(text.encode()), signing_secret)

    async def _visible(self, session: AsyncSession, caller: Principal, key_id: str) -> Key:
        return visible(caller, await key_rows.find(session, key_id), f"key {key_id}")

    def _check_active(self, key: Key) -> None:
        if not key.active(self._clock()) or key.replaced_by is not None:
            raise _not_active(key)

    def _check_expiry(self, expires_at: dt.datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock():
            message = "expires_at is in the past."
            raise UnprocessableError(message, [{"pointer": "/expires_at", "message": message}])

    def _id(self) -> str:
        return f"key_{self._random(8).hex()}"


def _check_addresses(texts: tuple[str, ...]) -> None:
    try:
        networks(texts)
    except AddressFormatError as error:
        pointer = f"/allowed_addresses/{error.index}" if texts else "/allowed_addresses"
        raise UnprocessableError(
            str(error), [{"pointer": pointer, "message": str(error)}]
        ) from error


def _not_active(key: Key) -> ConflictError:
    return ConflictError(
        f"Key {key.id} is revoked, expired or replaced already; create another one.",
        error="key_not_active",
    )
