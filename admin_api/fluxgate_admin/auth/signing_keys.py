"""The keys that sign tokens: published before they sign, kept until what they signed has expired.

A key is made a month after the one before it, stands in the JWKS for a day before it signs (so that
whoever keeps the JWKS has it by then), and is deleted when the last token of it has expired. All of that
follows from when keys were made, so replicas agree without talking.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import delete, select

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.records import Clock
from fluxgate_admin.auth.tables import AdminSigningKey
from fluxgate_admin.db.database import Database
from fluxgate_admin.secret_box import SecretBox

ALGORITHM = "RS256"
_BITS = 2048
_LOCK = 0x466C7578_6B657973
"""Of PostgreSQL's advisory locks: "Fluxkeys" in ASCII."""


@dataclass(frozen=True, slots=True)
class KeyPeriods:
    """How long a key signs, stands in the JWKS before that, and stays after it."""

    sign: dt.timedelta = dt.timedelta(days=30)
    announce: dt.timedelta = dt.timedelta(days=1)
    linger: dt.timedelta = dt.timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs."""

    kid: str
    key: rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Replacement:
    """The key that comes next, from when it signs, and which keys were revoked for it."""

    kid: str
    signs_from: dt.datetime
    revoked: tuple[str, ...]


class SigningKeys:
    """Makes, hands out and forgets keys; ``periods.linger`` is longer than a token lives."""

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        clock: Clock,
        periods: KeyPeriods | None = None,
    ) -> None:
        self._database = database
        self._box = box
        self._clock = clock
        self._periods = periods or KeyPeriods()
        self._opened: dict[str, rsa.RSAPrivateKey] = {}

    async def signer(self) -> Signer:
        """The key that signs now; makes the first one, and the next when it is time."""
        rows = await self._rows()
        if self._due(rows):
            rows = await self._make()
        row = self._signing(rows)
        key = self._opened.get(row.id)
        if key is None:
            pem = self._box.unseal(row.private_key, about_private_key(row.id)).reveal()
            key = await asyncio.to_thread(_load, pem)
            self._opened = {row.id: key}
        return Signer(row.id, key)

    async def replace(self, *, revoke: bool) -> Replacement:
        """Another key than the one that signs now, before its time.

        Announced, it stands in the JWKS for a day before it signs; one that is announced already is that other
        key. With ``revoke`` it signs at once, and all others are gone: nothing they signed is taken any more,
        from the next call on and by every replica, as each looks its key up in the database.
        """
        kid = f"sig_{secrets.token_hex(8)}"
        pem, public = await asyncio.to_thread(_generate, kid)
        async with self._database.writing(_LOCK) as session:
            rows = list(await session.scalars(_EVERY))
            if not revoke and rows and rows[-1] is not self._signing(rows):
                return Replacement(rows[-1].id, rows[-1].created_at + self._periods.announce, ())
            now = self._clock()
            session.add(self._row(kid, pem, public, now))
            gone = rows if revoke else self._done(rows)
            await session.execute(
                delete(AdminSigningKey).where(AdminSigningKey.id.in_([each.id for each in gone]))
            )
        signs_from = now + self._periods.announce if rows and not revoke else now
        return Replacement(kid, signs_from, tuple(each.id for each in rows) if revoke else ())

    async def public_keys(self) -> Sequence[dict[str, str]]:
        """Every key a token may be signed with now or soon, as JWKs (RFC 7517), oldest first."""
        rows = await self._rows()
        if self._due(rows):
            rows = await self._make()
        return [row.public_key for row in rows]

    async def public_key(self, kid: str) -> rsa.RSAPublicKey | None:
        """The key a token names; None when it is not ours, or gone."""
        async with self._database.reading() as session:
            row = await session.get(AdminSigningKey, kid)
        if row is None:
            return None
        key = jwt.PyJWK(row.public_key, algorithm=ALGORITHM).key
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    async def _rows(self) -> list[AdminSigningKey]:
        async with self._database.reading() as session:
            return list(await session.scalars(_EVERY))

    def _due(self, rows: Sequence[AdminSigningKey]) -> bool:
        newest = rows[-1].created_at if rows else None
        return newest is None or newest + self._periods.sign <= self._clock()

    def _signing(self, rows: Sequence[AdminSigningKey]) -> AdminSigningKey:
        announced = [
            row for row in rows if row.created_at + self._periods.announce <= self._clock()
        ]
        return announced[-1] if announced else rows[0]

    async def _make(self) -> list[AdminSigningKey]:
        """One more key, unless another replica made it meanwhile; and what has had its time goes."""
        kid = f"sig_{secrets.token_hex(8)}"
        pem, public = await asyncio.to_thread(_generate, kid)
        async with self._database.writing(_LOCK) as session:
            rows = list(await session.scalars(_EVERY))
            if not self._due(rows):
                return rows
            row = self._row(kid, pem, public, self._clock())
            session.add(row)
            gone = self._done(rows)
            await session.execute(
                delete(AdminSigningKey).where(AdminSigningKey.id.in_([each.id for each in gone]))
            )
            return [each for each in rows if each not in gone] + [row]

    def _row(
        self, kid: str, pem: SecretBytes, public: dict[str, str], now: dt.datetime
    ) -> AdminSigningKey:
        return AdminSigningKey(
            id=kid,
            public_key=public,
            private_key=self._box.seal(pem, about_private_key(kid)),
            created_at=now,
        )

    def _done(self, rows: Sequence[AdminSigningKey]) -> list[AdminSigningKey]:
        """Keys whose successor has signed for longer than a token lives."""
        grace = self._periods.announce + self._periods.linger
        return [
            row
            for row, successor in itertools.pairwise(rows)
            if successor.created_at + grace <= self._clock()
        ]


_EVERY = select(AdminSigningKey).order_by(AdminSigningKey.created_at, AdminSigningKey.id)


def about_private_key(kid: str) -> str:
    """What the private half of a key is sealed for."""
    return f"admin_signing_keys/{kid}/private_key"


def _generate(kid: str) -> tuple[SecretBytes, dict[str, str]]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    numbers = key.public_key().public_numbers()
    public = {
        "kty": "RSA",
        "use": "sig",
        "alg": ALGORITHM,
        "kid": kid,
        "n": jwt.utils.to_base64url_uint(numbers.n).decode(),
        "e": jwt.utils.to_base64url_uint(numbers.e).decode(),
    }
    return SecretBytes(pem), public


def _load(pem: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
