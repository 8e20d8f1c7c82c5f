"""What a route asks of a caller, as the Lua scripts read it.

One string under ``policy``, because every look into the context costs a script a crossing into
Envoy; a script parses each distinct string once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.struct_pb2 import Struct

from fluxgate.ir import HTTPRoute
from fluxgate.ir.policies.acl import Acl
from fluxgate.ir.policies.rate_limit import QuotaUse, RouteLimits
from fluxgate.xds import typeurl
from fluxgate.xds.httpfilters.key_table import encode_value

LUA_TYPE = typeurl.PREFIX + "envoy.extensions.filters.http.lua.v3.Lua"


def words(values: Iterable[str]) -> str:
    """``values`` in the alphabet of the scripts, with spaces between them."""
    return " ".join([encode_value(value) for value in values])


def counts_callers(route: HTTPRoute) -> bool:
    """Whether a limit of ``route`` counts by key or tenant, beside the plan."""
    return route.policy(RouteLimits) is not None or route.policy(QuotaUse) is not None


def acl_parts(acl: Acl | None) -> dict[str, str]:
    """The parts for an access list, such as ``allowscopes``."""
    if acl is None:
        return {}
    return {
        f"{verb}{name}": words(entries)
        for verb, lists in (("allow", acl.allow), ("deny", acl.deny))
        for name, entries in lists.lists()
    }


def context_of(parts: Mapping[str, str]) -> Struct:
    """``LuaPerRoute.filter_context``: empty parts are left out, and mean the strict default."""
    context = Struct()
    context["policy"] = ";".join(f"{name}={value}" for name, value in parts.items() if value)
    return context
