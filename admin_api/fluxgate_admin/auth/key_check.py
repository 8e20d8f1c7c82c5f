"""Checks a presented key, and the signature of a write; the same steps whether the key is known or not."""

from __future__ import annotations

import datetime as dt
import secrets

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from fluxgate.apikeys.format import digest, mint, parse
from fluxgate.errors import ApiKeyFormatError
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth import key_rows
from fluxgate_admin.auth.addresses import LOOPBACK, Address, allowed, networks
from fluxgate_admin.auth.records import USED_EVERY, Clock, Key, Presented
from fluxgate_admin.auth.signature import (
    Signature,
    SignatureFormatError,
    SignedContent,
    genuine,
    read_signature,
)
from fluxgate_admin.auth.tables import AdminKey, AdminNonce
from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import AddressNotAllowedError, UnauthenticatedError
from fluxgate_admin.secret_box import SecretBox
from fluxgate_admin.settings import SignatureSettings

REFUSED = "The credential is not valid."
_UNKNOWN = "key_unknown"


class KeyElsewhereError(AddressNotAllowedError):
    """A good key from a place where it may not be used: somebody may have got hold of ``key_id``."""

    def __init__(self, key_id: str, message: str) -> None:
        self.key_id = key_id
        super().__init__(message)


class KeyCheck:
    """Verifies ``X-Fluxgate-Key`` and the signature headers.

    What can be told without knowing the key (no signature, a clock that is off) is said in words; for
    everything else there is one answer.
    """

    def __init__(
        self,
        database: Database,
        box: SecretBox,
        clock: Clock,
        prefix: str,
        signatures: SignatureSettings,
    ) -> None:
        self._database = database
        self._box = box
        self._clock = clock
        self._prefix = prefix
        self._signatures = signatures
        self._nobody = self._unknown_key()

    async def check(self, text: str, presented: Presented, address: Address | None) -> Key:
        """Whose key it is.

        Raises :class:`UnauthenticatedError`, and :class:`KeyElsewhereError`.
        """
        signature = self._signature(presented)
        try:
            parse(text, (self._prefix,))
        except ApiKeyFormatError:
            raise UnauthenticatedError(REFUSED) from None
        found = await self._find(digest(text))
        row = found or self._nobody
        key = key_rows.key_of(row)
        good = key.active(self._clock())
        if signature is not None:
            good = self._genuine(row, presented, signature) and good
        if found is None or not good:
            raise UnauthenticatedError(REFUSED)
        if not allowed(address, networks(key.allowed_addresses)):
            raise KeyElsewhereError(
                key.id,
                f"This key may not be used from {address or 'an unknown address'}: "
                "its allowed_addresses say from where.",
            )
        if signature is not None:
            await self._use_nonce(key, signature)
        await self._note_use(key)
        return key

    def _signature(self, presented: Presented) -> Signature | None:
        try:
            signature = read_signature(presented.headers)
        except SignatureFormatError as error:
            raise UnauthenticatedError(f"{error}.", error="signature_malformed") from None
        if signature is None:
            if presented.writes and self._signatures.required:
                raise UnauthenticatedError(
                    "Writes by key are signed: send X-Fluxgate-Timestamp, X-Fluxgate-Nonce and "
                    "X-Fluxgate-Signature (docs/guide/admin-auth.md).",
                    error="signature_required",
                )
            return None
        now = self._clock()
        if abs(now.timestamp() - signature.seconds) > self._signatures.skew:
            raise UnauthenticatedError(
                f"X-Fluxgate-Timestamp is more than {self._signatures.skew:g} s off: "
                f"here it is {int(now.timestamp())}.",
                error="signature_expired",
                details={"server_time": int(now.timestamp())},
            )
        return signature

    async def _find(self, hashed: str) -> AdminKey | None:
        async with self._database.reading() as session:
            return await session.scalar(select(AdminKey).where(AdminKey.hash == hashed))

    def _genuine(self, row: AdminKey, presented: Presented, signature: Signature) -> bool:
        content = SignedContent(presented.method, presented.path, presented.query, presented.body)
        secret = self._box.unseal(row.signing_secret, key_rows.about_signing(row.id))
        try:
            return genuine(secret, content, signature)
        except SignatureFormatError:
            return False

    async def _use_nonce(self, key: Key, signature: Signature) -> None:
        """Remember it for as long as its timestamp would be taken; only genuine signatures get here.

        And for the skew once more: the replica that forgets may be ahead of the one that is asked again.
        """
        until = signature.seconds + 2 * self._signatures.skew + 1
        row = AdminNonce(
            key_id=key.id,
            nonce=signature.nonce,
            expires_at=dt.datetime.fromtimestamp(until, dt.UTC),
        )
        try:
            async with self._database.writing() as session:
                session.add(row)
        except IntegrityError:
            raise UnauthenticatedError(
                "This request was made before: every request has a nonce of its own.",
                error="signature_replayed",
            ) from None

    async def _note_use(self, key: Key) -> None:
        now = self._clock()
        if key.last_used_at is not None and now - key.last_used_at < USED_EVERY:
            return
        async with self._database.writing() as session:
            await session.execute(
                update(AdminKey).where(AdminKey.id == key.id).values(last_used_at=now)
            )

    def _unknown_key(self) -> AdminKey:
        """Stands for every key that is not there, so that refusing one takes the same steps."""
        secret = SecretBytes(mint("fss_", secrets.token_bytes(24)).encode())
        return AdminKey(
            id=_UNKNOWN,
            organisation="",
            name="",
            hash="",
            prefix=self._prefix,
            last_four="",
            signing_secret=self._box.seal(secret, key_rows.about_signing(_UNKNOWN)),
            scopes=[],
            namespaces=[],
            allowed_addresses=list(LOOPBACK),
            slot=None,
            created_at=self._clock(),
            created_by="",
            expires_at=None,
            revoked_at=None,
            last_used_at=None,
            replaced_by=None,
        )
