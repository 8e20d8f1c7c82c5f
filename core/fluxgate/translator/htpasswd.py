"""Files of users and hashed passwords as Apache's ``htpasswd`` writes them, as far as Envoy reads them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

_SHA = "{SHA}"
_SHA1_BYTES = 20
MAX_USERS = 10_000


def read_users(data: bytes) -> str:
    """The users, one ``name:{SHA}hash`` a line, without comments and empty lines.

    Envoy's basic_auth filter takes SHA-1 (``htpasswd -s``) and nothing else. Raises
    ``ValueError``, which names the line and never what stands there.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    users = dict(_entries(text))
    if not users:
        raise ValueError("names no user")
    if len(users) > MAX_USERS:
        raise ValueError(f"names {len(users)} users; at most {MAX_USERS} are allowed")
    return "\n".join(f"{name}:{password}" for name, password in users.items())


def _entries(text: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        name, colon, password = entry.partition(":")
        if not colon or not name or not name.isprintable():
            raise ValueError(f"line {number} is not a name, a colon and a hash")
        if name in seen:
            raise ValueError(f"line {number} names a user for the second time")
        if not _is_sha1(password):
            raise ValueError(
                f"line {number} holds no {_SHA} hash, which is all that Envoy checks; "
                "make it with: htpasswd -s"
            )
        seen.add(name)
        yield name, password


def _is_sha1(password: str) -> bool:
    if not password.startswith(_SHA):
        return False
    try:
        return len(base64.b64decode(password[len(_SHA) :], validate=True)) == _SHA1_BYTES
    except binascii.Error:
        return False
