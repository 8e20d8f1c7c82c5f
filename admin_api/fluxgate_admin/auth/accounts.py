"""OAuth2 clients and service accounts: who gets tokens, and for what."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate.apikeys.format import digest, mint
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.records import (
    USED_EVERY,
    Account,
    AccountKind,
    Clock,
    IssuedAccount,
    NewAccount,
    Page,
)
from fluxgate_admin.auth.rights import (
    check_grant,
    check_takeover,
    organisation_for,
    reaches_others,
    sees,
    visible,
)
from fluxgate_admin.auth.tables import AdminAccount, AdminToken
from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import ConflictError, UnprocessableError
from fluxgate_admin.principal import Principal

SECRET_PREFIX = "fcs_"  # noqa: S105 - what a secret begins with
_RANDOM_BYTES = 24
_ID_PREFIX = {AccountKind.CLIENT: "client", AccountKind.SERVICE_ACCOUNT: "sa"}
_WORDS = {AccountKind.CLIENT: "client", AccountKind.SERVICE_ACCOUNT: "service account"}


def account_of(row: AdminAccount) -> Account:
    """A row without its secret's digest."""
    return Account(
        id=row.id,
        kind=AccountKind(row.kind),
        client_id=row.client_id,
        organisation=row.organisation,
        name=row.name,
        last_four=row.last_four,
        scopes=frozenset(row.scopes),
        namespaces=None if row.namespaces is None else frozenset(row.namespaces),
        created_at=row.created_at,
        created_by=row.created_by,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


class Accounts:
    """The accounts of every organisation; callers see theirs.

    Every method raises ``UnavailableError`` without a database.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._database = database
        self._clock = clock
        self._random = random

    async def create(self, caller: Principal, new: NewAccount) -> IssuedAccount:
        """A new account. Raises as ``rights.check_grant``, :class:`ConflictError` for a ``client_id`` in use."""
        organisation = organisation_for(caller, new.organisation)
        check_grant(caller, new.scopes, new.namespaces)
        _check_kind(new)
        account_id = f"{_ID_PREFIX[new.kind]}_{self._random(8).hex()}"
        secret = self._secret()
        row = AdminAccount(
            id=account_id,
            kind=str(new.kind),
            client_id=new.client_id or account_id,
            organisation=organisation,
            name=new.name,
            secret_hash=digest(secret),
            last_four=secret[-4:],
            scopes=sorted(new.scopes),
            namespaces=None if new.namespaces is None else sorted(new.namespaces),
            created_at=self._clock(),
            created_by=caller.author,
        )
        try:
            async with self._database.writing() as session:
                session.add(row)
        except IntegrityError:
            raise ConflictError(
                f"The organisation has an account with client_id {new.client_id} already.",
                error="already_exists",
            ) from None
        return IssuedAccount(account_of(row), SecretBytes(secret.encode()))

    async def list(
        self, caller: Principal, kind: AccountKind, page: Page, organisation: str = ""
    ) -> Sequence[Account]:
        """Accounts the caller sees, by id; revoked ones, too."""
        query = (
            select(AdminAccount)
            .where(AdminAccount.kind == str(kind), AdminAccount.id > page.after)
            .order_by(AdminAccount.id)
        )
        if organisation or not reaches_others(caller):
            query = query.where(AdminAccount.organisation == (organisation or caller.organisation))
        async with self._database.reading() as session:
            every = [account_of(row) for row in await session.scalars(query)]
        return [each for each in every if sees(caller, each)][: page.limit]

    async def get(self, caller: Principal, kind: AccountKind, account_id: str) -> Account:
        """One account. Raises :class:`NotFoundError`, also for one the caller does not see."""
        async with self._database.reading() as session:
            return await self._visible(session, caller, kind, account_id)

    async def revoke(self, caller: Principal, kind: AccountKind, account_id: str) -> None:
        """End an account and its tokens at once, for good. Doing it twice does it once."""
        now = self._clock()
        async with self._database.writing() as session:
            await self._visible(session, caller, kind, account_id)
            await session.execute(
                update(AdminAccount)
                .where(AdminAccount.id == account_id, AdminAccount.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            await self._revoke_tokens(session, account_id)

    async def rotate(
        self, caller: Principal, kind: AccountKind, account_id: str, *, revoke_tokens: bool
    ) -> IssuedAccount:
        """A new secret; the old one ends. Tokens go on until they expire, unless ``revoke_tokens``.

        Raises :class:`NotFoundError`, :class:`ScopeMismatchError` for an account that may more than the caller,
        :class:`ConflictError` for a revoked one.
        """
        secret = self._secret()
        async with self._database.writing() as session:
            account = await self._visible(session, caller, kind, account_id)
            check_takeover(caller, account)
            if account.revoked_at is not None:
                raise ConflictError(
                    f"{account_id} is revoked; create another one.", error="account_revoked"
                )
            row = await session.get_one(AdminAccount, account_id)
            row.secret_hash = digest(secret)
            row.last_four = secret[-4:]
            if revoke_tokens:
                await self._revoke_tokens(session, account_id)
        return IssuedAccount(account_of(row), SecretBytes(secret.encode()))

    async def by_secret(self, client_id: str, secret: str) -> Account | None:
        """The account of a secret, when it is that of ``client_id`` and not revoked.

        Found by the digest of the secret alone, so a ``client_id`` that exists takes no other way than one
        that does not; several organisations may use the same one.
        """
        async with self._database.reading() as session:
            row = await session.scalar(
                select(AdminAccount).where(AdminAccount.secret_hash == digest(secret))
            )
        if row is None or row.client_id != client_id or row.revoked_at is not None:
            return None
        now = self._clock()
        if row.last_used_at is None or now - row.last_used_at >= USED_EVERY:
            async with self._database.writing() as session:
                await session.execute(
                    update(AdminAccount).where(AdminAccount.id == row.id).values(last_used_at=now)
                )
        return account_of(row)

    async def _revoke_tokens(self, session: AsyncSession, account_id: str) -> None:
        await session.execute(
            update(AdminToken)
            .where(AdminToken.account_id == account_id, AdminToken.revoked_at.is_(None))
            .values(revoked_at=self._clock())
        )

    async def _visible(
        self, session: AsyncSession, caller: Principal, kind: AccountKind, account_id: str
    ) -> Account:
        row = await session.get(AdminAccount, account_id)
        account = None if row is None or row.kind != str(kind) else account_of(row)
        return visible(caller, account, f"{_WORDS[kind]} {account_id}")

    def _secret(self) -> str:
        return mint(SECRET_PREFIX, self._random(_RANDOM_BYTES))


def _check_kind(new: NewAccount) -> None:
    """OAuth2 clients read (the document's words); who writes with tokens is a service account."""
    if new.kind is AccountKind.CLIENT and any(not each.endswith(":read") for each in new.scopes):
        message = "A client reads: give it scopes that end in :read, or create a service account."
        raise UnprocessableError(message, [{"pointer": "/scopes", "message": message}])
