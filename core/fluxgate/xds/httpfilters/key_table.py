"""The API keys as the Lua filter reads them.

Two strings: an index of fixed-width records, sorted by digest (64 hexadecimal
digits of SHA-256, 8 of an offset), and the attributes, one line a key. Lua finds a
key by binary search and parses one line, so loading costs nothing per key.

Both are written into Lua source, and their values into headers. Every value is
reduced to an alphabet that can close neither a Lua string nor a line: any other
byte is percent-encoded. Values of validated resources are inside that alphabet,
and are not changed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from fluxgate.ir import ApiKeyIR

RECORD_WIDTH = 72
MATCHES_NOTHING = "-"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SAFE = re.compile(r"[A-Za-z0-9_.:@/+=~*-]*")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_.:@/+=~*-]")


def encode_value(text: str) -> str:
    """``text`` with every byte outside the safe alphabet percent-encoded (UTF-8)."""
    if _SAFE.fullmatch(text):
        return text
    raw = text.encode("utf-8", "surrogatepass")
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")


def encode_block(cidr: str) -> str:
    """A CIDR block as 32 hexadecimal digits and a prefix length, IPv4 as ``::ffff:0:0/96``.

    A text that is no CIDR block becomes one that matches no address: a key must not
    become usable from everywhere because its restriction cannot be read.
    """
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return MATCHES_NOTHING
    value, length = int(network.network_address), network.prefixlen
    if network.version == 4:
        value, length = value | 0xFFFF << 32, length + 96
    return f"{value:032x}/{length}"


def _line(key: ApiKeyIR) -> str:
    values = (
        key.key_id,
        key.tenant,
        key.workspace,
        key.subject or key.key_id,
        key.role,
        key.audience,
        key.plan,
    )
    return "|".join(
        (
            *(encode_value(value) for value in values),
            str(max(key.expires_at, 0)),
            " ".join(encode_value(scope) for scope in key.scopes),
            " ".join(encode_block(cidr) for cidr in key.allowed_cidrs),
        )
    )


def encode_keys(keys: Iterable[ApiKeyIR]) -> tuple[str, str, int]:
    """The index, the attribute lines, and the number of keys in them.

    A key whose digest is not 64 lower-case hexadecimal digits can match no request
    and is left out. Of two keys with one digest the first stays.
    """
    by_digest: dict[str, ApiKeyIR] = {}
    for key in keys:
        if _DIGEST.fullmatch(key.sha256):
            by_digest.setdefault(key.sha256, key)
    records: list[str] = []
    lines: list[str] = []
    offset = 0
    for digest in sorted(by_digest):
        line = _line(by_digest[digest])
        records.append(f"{digest}{offset:08x}")
        lines.append(line)
        offset += len(line) + 1
    return "".join(records), "".join(f"{line}\n" for line in lines), len(records)
