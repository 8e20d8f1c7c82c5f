"""Scripts of Plugins as Envoy's Lua filter takes them.

Every script has a Lua state of its own for each worker, which routes with the same script share
(``shared_vm_id``, its hash), also from one version of the route table to the next.

Proto: envoy.extensions.filters.http.lua.v3.Lua (``shared_vm_id`` is newer than xds-protos).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3

from fluxgate.ir.policies.lua import Lua
from fluxgate.xds import names
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.wire import field_string

_SHARED_VM_ID = 9
_METHODS = (
    "base64Escape",
    "body",
    "bodyChunks",
    "connection",
    "headers",
    "httpCall",
    "importPublicKey",
    "logCritical",
    "logDebug",
    "logErr",
    "logInfo",
    "logTrace",
    "logWarn",
    "metadata",
    "respond",
    "streamInfo",
    "timestamp",
    "timestampString",
    "trailers",
    "verifySignature",
)
"""What a script may do with the handle. Not: clearRouteCache, setUpstreamOverrideHost."""


def script_of(policy: Lua) -> str:
    """The whole Lua source for Envoy: the Plugin's script as data, and what runs it."""
    pairs = ", ".join(f"[{quoted(name)}] = {quoted(to)}" for name, to in policy.backends)
    data = (
        f"local NAME = {quoted(policy.name)}\n"
        f"local BACKENDS = {{ {pairs} }}\n"
        f"local IDENTITY = {_set(names.IDENTITY_HEADERS)}\n"
        f"local METHODS = {_set(_METHODS)}\n"
        f"local SOURCE = {_long(policy.source)}\n"
    )
    return data + lua.EXTENSION


def build_lua(policy: Lua) -> lua_v3.Lua:
    """The filter's configuration for one script."""
    return shared_lua(script_of(policy))


def shared_lua(source: str) -> lua_v3.Lua:
    """A filter that runs ``source``, in one Lua state a worker for all routes that have the same."""
    # after authentication nothing may choose another route
    message = lua_v3.Lua(clear_route_cache={"value": False})
    message.default_source_code.inline_string = source
    digest = hashlib.sha256(source.encode()).hexdigest()
    message.MergeFromString(field_string(_SHARED_VM_ID, digest))
    return message


def _set(members: Iterable[str]) -> str:
    return "{ " + ", ".join(f"[{quoted(each)}] = true" for each in members) + " }"


def quoted(text: str) -> str:
    """``text`` as a Lua string: what is not plain becomes decimal escapes."""
    escaped = re.sub(
        r"[^A-Za-z0-9_./:@+-]",
        lambda found: "".join(f"\\{byte:03d}" for byte in found[0].encode()),
        text,
    )
    return f'"{escaped}"'


def _long(text: str) -> str:
    """A long bracket at a level that ``text`` does not close.

    Lua drops a newline right after the opening bracket.
    """
    level = "="
    while f"]{level}]" in text + "]":
        level += "="
    return f"[{level}[\n{text}]{level}]"
