"""Signed writes: HMAC-SHA256 over what a request does, when, and a word that is used once.

Signed is this text in UTF-8, without a newline at its end::

    v1
    {METHOD}
    {path}              as sent, percent-encoding included
    {raw query}         as sent, without the question mark; empty without one
    {hex SHA-256 of the body}
    {timestamp}         seconds since the epoch, decimal
    {nonce}

and the key is the signing secret (``fss_…``), its text in UTF-8. Pure: the server verifies with what
clients sign with. Headers are not signed; what a write does stands in method, path, query and body.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.errors import FluxGateError
from fluxgate.secret import SecretBytes

TIMESTAMP_HEADER = "x-fluxgate-timestamp"
NONCE_HEADER = "x-fluxgate-nonce"
SIGNATURE_HEADER = "x-fluxgate-signature"
VERSION = "v1"

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SIGNATURE = re.compile(r"v1=[0-9a-f]{64}")


class SignatureFormatError(FluxGateError):
    """The three headers are not there, not once each, or not of their form; says which and what would be."""


@dataclass(frozen=True, slots=True)
class SignedContent:
    """What a signature is over. ``path`` and ``query`` are as they are on the wire."""

    method: str
    path: str
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """The three headers of a signed request; ``timestamp`` is in seconds since the epoch."""

    timestamp: str
    nonce: str
    value: str

    @property
    def seconds(self) -> int:
        """When it was signed, as the signer says."""
        return int(self.timestamp)

    def headers(self) -> dict[str, str]:
        """As they are sent."""
        return {
            TIMESTAMP_HEADER: self.timestamp,
            NONCE_HEADER: self.nonce,
            SIGNATURE_HEADER: self.value,
        }


def sign(secret: SecretBytes, content: SignedContent, timestamp: int, nonce: str) -> Signature:
    """Sign; ``nonce`` is 16 to 64 of ``A-Za-z0-9_-``, never used before with this key.

    Raises :class:`SignatureFormatError` for another nonce, or a timestamp before 1970.
    """
    moment = str(timestamp)
    _check(NONCE_HEADER, nonce, _NONCE, "16 to 64 characters of A-Z a-z 0-9 _ -")
    _check(TIMESTAMP_HEADER, moment, _TIMESTAMP, "seconds since the epoch, digits alone")
    return Signature(moment, nonce, _value(secret, content, moment, nonce))


def genuine(secret: SecretBytes, content: SignedContent, signature: Signature) -> bool:
    """Whether the signature is that of ``secret`` over ``content``; compared in constant time."""
    expected = _value(secret, content, signature.timestamp, signature.nonce)
    return hmac.compare_digest(expected.encode(), signature.value.encode())


def read_signature(headers: Iterable[tuple[str, str]]) -> Signature | None:
    """The signature in a request's headers; None when it has none of the three.

    Raises :class:`SignatureFormatError`.
    """
    names = (TIMESTAMP_HEADER, NONCE_HEADER, SIGNATURE_HEADER)
    found: dict[str, list[str]] = {name: [] for name in names}
    for name, value in headers:
        if name.lower() in found:
            found[name.lower()].append(value)
    if not any(found.values()):
        return None
    for name, values in found.items():
        if len(values) != 1:
            raise SignatureFormatError(
                f"a signed request has exactly one {name} header, not {len(values)}"
            )
    timestamp, nonce, value = (found[name][0] for name in names)
    _check(TIMESTAMP_HEADER, timestamp, _TIMESTAMP, "seconds since the epoch, digits alone")
    _check(NONCE_HEADER, nonce, _NONCE, "16 to 64 characters of A-Z a-z 0-9 _ -")
    _check(SIGNATURE_HEADER, value, _SIGNATURE, "v1= and 64 lower-case hexadecimal digits")
    return Signature(timestamp, nonce, value)


def signed_text(content: SignedContent, timestamp: str, nonce: str) -> str:
    """The text that is signed. Raises :class:`SignatureFormatError` for a line break inside one of its lines."""
    body = hashlib.sha256(content.body).hexdigest()
    lines = (VERSION, content.method.upper(), content.path, content.query, body, timestamp, nonce)
    # a newline inside one part could pass for the next part; HTTP allows none in any of them
    if any("\n" in line for line in lines):
        raise SignatureFormatError("a signed request holds a line break in its method or target")
    return "\n".join(lines)


def _value(secret: SecretBytes, content: SignedContent, timestamp: str, nonce: str) -> str:
    text = signed_text(content, timestamp, nonce).encode("utf-8", "surrogateescape")
    return f"{VERSION}=" + hmac.new(secret.reveal(), text, hashlib.sha256).hexdigest()


def _check(name: str, value: str, form: re.Pattern[str], words: str) -> None:
    if not form.fullmatch(value):
        raise SignatureFormatError(f"{name} is not {words}")
