"""The form of an API key: a prefix, 160 bits or more of randomness, a checksum.

``flc_service_`` + 27 or more characters base62 + 6 characters base62 of the CRC32 of all
that is in front of them. The prefix says what the key is for and lets secret scanners
find it; the checksum tells a mistyped key from an unknown one without asking
anybody. Randomness comes from the caller: this module is pure.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.errors import ApiKeyFormatError

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MIN_RANDOM_BYTES = 20
CHECKSUM_LENGTH = 6
DEFAULT_PREFIXES = (
    "flc_anon_",
    "flc_service_",
    "flx_live_",
    "flx_test_",
    "sk_live_",
    "sk_test_",
)

_PREFIX = re.compile(r"[a-z][a-z0-9]{0,15}(_[a-z0-9]{1,15}){0,2}_")
_BASE62 = re.compile(r"[0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The parts of a key that may be shown and stored."""

    prefix: str
    last_four: str


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """The key prefixes a gateway knows. Raises :class:`ApiKeyFormatError` on a malformed one."""

    prefixes: tuple[str, ...] = DEFAULT_PREFIXES

    def __post_init__(self) -> None:
        for prefix in self.prefixes:
            _check_prefix(prefix)

    def mint(self, prefix: str, random_bytes: bytes) -> str:
        """As :func:`mint`, for a known prefix only."""
        if prefix not in self.prefixes:
            raise ApiKeyFormatError(_unknown_prefix(self.prefixes))
        return mint(prefix, random_bytes)

    def parse(self, key: str) -> ParsedKey:
        """As :func:`parse`, with the known prefixes."""
        return parse(key, self.prefixes)


def mint(prefix: str, random_bytes: bytes) -> str:
    """A new key from ``random_bytes``, at least 20 of them from a cryptographic source.

    Raises :class:`ApiKeyFormatError` on a malformed prefix or too few bytes.
    """
    _check_prefix(prefix)
    if len(random_bytes) < MIN_RANDOM_BYTES:
        raise ApiKeyFormatError(
            f"a key needs {MIN_RANDOM_BYTES} random bytes or more, not {len(random_bytes)}"
        )
    body = prefix + _base62(int.from_bytes(random_bytes), _width(8 * len(random_bytes)))
    return body + _checksum(body)


def parse(key: str, prefixes: Iterable[str] = DEFAULT_PREFIXES) -> ParsedKey:
    """The parts of ``key``, whose form and checksum are right.

    Raises :class:`ApiKeyFormatError` with what is wrong; the message never holds the key.
    """
    known = tuple(prefixes)
    prefix = max((each for each in known if key.startswith(each)), key=len, default="")
    if not prefix:
        raise ApiKeyFormatError(_unknown_prefix(known))
    body = key[len(prefix) :]
    if not _BASE62.fullmatch(body):
        raise ApiKeyFormatError(
            "the key holds characters other than letters and digits after its prefix; "
            "was it copied with quotes, spaces or a line break?"
        )
    shortest = _width(8 * MIN_RANDOM_BYTES) + CHECKSUM_LENGTH
    if len(body) < shortest:
        raise ApiKeyFormatError(
            f"the key is too short: {len(body)} characters after its prefix, "
            f"not {shortest} or more; was it cut off?"
        )
    if _checksum(key[:-CHECKSUM_LENGTH]) != key[-CHECKSUM_LENGTH:]:
        raise ApiKeyFormatError("the key's checksum is wrong; it was mistyped or changed")
    return ParsedKey(prefix, key[-4:])


def digest(key: str) -> str:
    """What is stored of a key: the SHA-256 of all of it, in lower-case hexadecimal.

    A plain hash is enough, because 160 random bits cannot be guessed or listed.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def _check_prefix(prefix: str) -> None:
    if not _PREFIX.fullmatch(prefix):
        raise ApiKeyFormatError(
            f"{prefix!r} is not a key prefix: up to three lower-case words, each with an "
            "underscore after it, such as flc_service_"
        )


def _unknown_prefix(known: tuple[str, ...]) -> str:
    return "the key has no known prefix; known prefixes: " + ", ".join(sorted(known))


def _width(bits: int) -> int:
    """How many base62 characters any number of ``bits`` bits fits into."""
    width = 1
    while len(ALPHABET) ** width < 1 << bits:
        width += 1
    return width


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)
