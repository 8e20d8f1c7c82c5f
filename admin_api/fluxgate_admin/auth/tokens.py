"""Access tokens: JWTs of our own (RFC 9068), signed with a key that changes, known by their id.

A token is taken while its signature, its dates, its row and its account all say so. The row makes
it possible to end a token before its time; what an account lost its tokens lose with it.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from sqlalchemy import CursorResult, select, update

from fluxgate.errors import FluxGateError
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.accounts import account_of
from fluxgate_admin.auth.records import Account, AccountKind, Clock, IssuedToken
from fluxgate_admin.auth.scopes import beyond, common, common_namespaces, contains
from fluxgate_admin.auth.signing_keys import ALGORITHM, SigningKeys
from fluxgate_admin.auth.tables import AdminAccount, AdminToken
from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import UnauthenticatedError
from fluxgate_admin.principal import Principal, PrincipalKind

TYPE = "at+jwt"
"""``typ`` of an access token (RFC 9068, 2.1): no other JWT passes for one."""
AUDIENCE = "fluxgate-admin"
LONGEST_CHAIN = dt.timedelta(hours=24)
"""So long a token can be rotated on; then its account shows its secret again."""
REUSE_GRACE = dt.timedelta(seconds=60)
"""Requests on their way with the old token while it is rotated are no theft."""

_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNREADABLE = (jwt.InvalidTokenError, ValueError, RecursionError)
"""What is raised for a text that is no token; JSON that is nested deeply enough runs out of stack."""
_REQUIRED = ("iss", "aud", "sub", "exp", "iat", "jti")
_KINDS = {
    AccountKind.CLIENT: PrincipalKind.CLIENT,
    AccountKind.SERVICE_ACCOUNT: PrincipalKind.SERVICE_ACCOUNT,
}


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that is good, and who it stands for; ``id`` is that of the token."""

    id: str
    principal: Principal


class ScopeNotGrantedError(FluxGateError):
    """More was asked for than the account has (RFC 6749, 5.2 ``invalid_scope``)."""


class Tokens:
    """Issues, verifies and rotates; ``seconds`` is how long a token lives."""

    def __init__(
        self, database: Database, keys: SigningKeys, clock: Clock, issuer: str, seconds: int
    ) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._issuer = issuer
        self._seconds = seconds

    async def issue(
        self,
        account: Account,
        scopes: frozenset[str] | None = None,
        namespaces: frozenset[str] | None = None,
    ) -> IssuedToken:
        """A token of an account; for some of its scopes and namespaces, or for all it has.

        Raises :class:`ScopeNotGrantedError` when more is asked for than the account has.
        """
        if lacking := beyond(scopes or frozenset(), account.scopes):
            raise ScopeNotGrantedError(f"the client does not have the scope {lacking[0]}")
        if namespaces is not None and not contains(account.namespaces, namespaces):
            raise ScopeNotGrantedError("the client is not bound to such a namespace")
        row, issued = await self._sign(
            account,
            account.scopes if scopes is None else scopes,
            account.namespaces if namespaces is None else namespaces,
        )
        async with self._database.writing() as session:
            session.add(row)
        return issued

    def is_ours(self, token: str) -> bool:
        """Whether a token says that we issued it; nothing is believed of it."""
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except _UNREADABLE:
            return False
        return claims.get("iss") == self._issuer

    async def verify(self, token: str) -> VerifiedToken | None:
        """Who a token stands for; None when it is not good.

        A token that was rotated more than :data:`REUSE_GRACE` ago is in two hands: its whole chain ends.
        """
        claims = await self._claims(token)
        if claims is None:
            return None
        now = self._clock()
        async with self._database.reading() as session:
            found = (
                await session.execute(
                    select(AdminToken, AdminAccount)
                    .join(AdminAccount, AdminAccount.id == AdminToken.account_id)
                    .where(AdminToken.id == claims["jti"])
                )
            ).first()
        if found is None:
            return None
        row, account_row = found
        if row.revoked_at is not None and row.revoked_at + REUSE_GRACE < now:
            await self._end_chain(row.family)
        account = account_of(account_row)
        if (
            row.revoked_at is not None
            or account.revoked_at is not None
            or row.expires_at <= now
            or claims["sub"] != account.client_id
        ):
            return None
        return VerifiedToken(row.id, _principal(account, claims))

    async def rotate(self, verified: VerifiedToken) -> IssuedToken:
        """A successor with the same rights; the old token ends now.

        Raises :class:`UnauthenticatedError` when somebody else rotated it meanwhile, or the chain is a
        day old: then client credentials give the next token.
        """
        now = self._clock()
        async with self._database.reading() as session:
            old = await session.get_one(AdminToken, verified.id)
            account = account_of(await session.get_one(AdminAccount, old.account_id))
        if old.family_at + LONGEST_CHAIN <= now:
            raise UnauthenticatedError(
                "This token has been rotated for a day: get the next one with the client's "
                "credentials at POST /oauth/token.",
                error="rotation_exhausted",
            )
        principal = verified.principal
        row, issued = await self._sign(account, principal.scopes, principal.namespaces)
        row.family, row.family_at = old.family, old.family_at
        async with self._database.writing() as session:
            ended = await session.execute(
                update(AdminToken)
                .where(AdminToken.id == old.id, AdminToken.revoked_at.is_(None))
                .values(revoked_at=now)
            )
            assert isinstance(ended, CursorResult)
            if ended.rowcount != 1:
                raise UnauthenticatedError("The credential is not valid.")
            session.add(row)
        return issued

    async def _sign(
        self, account: Account, scopes: frozenset[str], namespaces: frozenset[str] | None
    ) -> tuple[AdminToken, IssuedToken]:
        """A token and its row, the first of a chain; the caller keeps the row."""
        signer = await self._keys.signer()
        now = self._clock().replace(microsecond=0)
        expires = now + dt.timedelta(seconds=self._seconds)
        token_id = f"tok_{secrets.token_hex(12)}"
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": account.client_id,
            "client_id": account.client_id,
            "org": account.organisation,
            "scope": " ".join(sorted(scopes)),
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "jti": token_id,
        }
        if namespaces is not None:
            names = sorted(namespaces)
            claims["namespace"] = names[0] if len(names) == 1 else names
        token = jwt.encode(claims, signer.key, ALGORITHM, {"kid": signer.kid, "typ": TYPE})
        row = AdminToken(
            id=token_id,
            account_id=account.id,
            family=token_id,
            family_at=now,
            issued_at=now,
            expires_at=expires,
        )
        issued = IssuedToken(SecretBytes(token.encode()), self._seconds, scopes, namespaces)
        return row, issued

    async def _claims(self, token: str) -> Mapping[str, Any] | None:
        """What a token says, when one of our keys signed it for us; dates are checked by its row."""
        try:
            header = jwt.get_unverified_header(token)
            # the algorithm is ours, never the token's: a public key cannot become an HMAC secret
            if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
                return None
            kid = header.get("kid")
            if not isinstance(kid, str) or not _KID.fullmatch(kid):
                return None
            key = await self._keys.public_key(kid)
            if key is None:
                return None
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={
                    "require": list(_REQUIRED),
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except _UNREADABLE:
            return None
        exp = claims["exp"]
        if not isinstance(exp, int) or exp <= self._clock().timestamp():
            return None
        return claims

    async def _end_chain(self, family: str) -> None:
        async with self._database.writing() as session:
            await session.execute(
                update(AdminToken)
                .where(AdminToken.family == family, AdminToken.revoked_at.is_(None))
                .values(revoked_at=self._clock())
            )


def _principal(account: Account, claims: Mapping[str, Any]) -> Principal:
    """What token and account both allow: an account that lost a scope takes it from its tokens."""
    said = claims.get("namespace")
    named = None if said is None else frozenset([said] if isinstance(said, str) else said)
    scopes = frozenset(str(claims.get("scope", "")).split())
    return Principal(
        id=account.id,
        kind=_KINDS[account.kind],
        name=account.name,
        organisation=account.organisation,
        scopes=common(scopes, account.scopes),
        namespaces=common_namespaces(named, account.namespaces),
    )
