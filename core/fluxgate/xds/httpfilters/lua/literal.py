"""Python values as Lua literals that no text can break out of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_UNSAFE = re.compile(rb"[^A-Za-z0-9 _.:/@#-]")

LuaValue = str | bool | int | Sequence["LuaValue"] | Mapping[str, "LuaValue"] | None


def literal(value: LuaValue) -> str:
    """``value`` in Lua's syntax; bytes outside a small alphabet become decimal escapes."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{_UNSAFE.sub(_escaped, value.encode("utf-8", "surrogatepass")).decode("ascii")}"'
    if isinstance(value, Mapping):
        entries = (f"[{literal(key)}]={literal(each)}" for key, each in value.items())
        return "{" + ",".join(entries) + "}"
    return "{" + ",".join(literal(each) for each in value) + "}"


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\%03d" % found[0][0]
