"""What has to be kept in a form that can be read again: sealed with the master keys.

Fernet (AES-128-CBC with HMAC-SHA256, https://github.com/fernet/spec) by ``cryptography``. The first key
seals, all of them open, so that a key can be replaced while sealed values exist.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from fluxgate.errors import FluxGateError
from fluxgate.secret import SecretBytes

_REMEDY = "make one with `openssl rand -base64 32`"


class SecretBoxError(FluxGateError):
    """A master key cannot be used, or a sealed value cannot be opened. Never quotes either."""


class SecretBox:
    """Seals and opens. Each value is bound to what it is ``about`` (a row's own id and column).

    So a sealed value that somebody copied into another row does not open there.
    """

    def __init__(self, master_keys: Sequence[SecretBytes]) -> None:
        if not master_keys:
            raise SecretBoxError(f"no master key: {_REMEDY}")
        keys = [_fernet(place, key) for place, key in enumerate(master_keys, start=1)]
        self._sealing = keys[0]
        self._opening = MultiFernet(keys)

    def seal(self, secret: SecretBytes, about: str) -> str:
        """ASCII text that only :meth:`unseal` with the same ``about`` opens."""
        return self._sealing.encrypt(_bound(about) + secret.reveal()).decode()

    def unseal(self, sealed: str, about: str) -> SecretBytes:
        """What was sealed. Raises :class:`SecretBoxError`: no key opens it, or it is about something else."""
        try:
            plain = self._opening.decrypt(sealed.encode())
        except InvalidToken:
            raise SecretBoxError(
                f"no master key opens {about}: add the key it was sealed with, after the first"
            ) from None
        bound = _bound(about)
        if not plain.startswith(bound):
            raise SecretBoxError(f"what is kept for {about} was sealed for something else")
        return SecretBytes(plain[len(bound) :])

    def is_current(self, sealed: str) -> bool:
        """Whether the first key sealed it; if not, seal it anew to be able to drop older keys."""
        try:
            self._sealing.decrypt(sealed.encode())
        except InvalidToken:
            return False
        return True


def _bound(about: str) -> bytes:
    named = about.encode()
    return len(named).to_bytes(4, "big") + named


def _fernet(place: int, key: SecretBytes) -> Fernet:
    """A key in either alphabet of base64 (RFC 4648), as ``openssl`` and ``Fernet.generate_key`` print it."""
    text = key.reveal().strip().replace(b"+", b"-").replace(b"/", b"_")
    try:
        raw = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise SecretBoxError(f"master key {place} is not 32 bytes in base64: {_REMEDY}")
    return Fernet(urlsafe_b64encode(raw))
