"""API keys, verified inside the proxy: Envoy's Lua filter with a table of hashed keys.

The filter stands in the chain without a configuration of its own, and switched off;
code and keys arrive by ECDS under the filter's name, so that a change of keys
touches neither listeners nor routes. A route switches the filter on by what it asks
of a key (``LuaPerRoute.filter_context``).

Protos: envoy.extensions.filters.http.lua.v3.{Lua,LuaPerRoute},
envoy.config.core.v3.{ExtensionConfigSource,TypedExtensionConfig}.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.struct_pb2 import Struct

from fluxgate.ir import ApiKeyTable, DirectResponse, Gateway, HTTPRoute, KeyAuth
from fluxgate.ir.policies.acl import Acl
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.asked import LUA_TYPE, acl_parts, context_of, counts_callers, words
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.key_table import encode_keys, encode_value


def lua_source(table: ApiKeyTable, *, logged: bool = True) -> str:
    """The script for ``table``: SHA-256, address arithmetic, the keys, and the check.

    ``logged`` says whether a log or a trace tells whose key it was: for no reader
    the script writes no metadata, because each value costs a crossing into Envoy.
    """
    index, attributes, count = encode_keys(table.keys)
    prefixes = ", ".join(f'"{encode_value(prefix)}"' for prefix in sorted(set(table.prefixes)))
    data = (
        f'local AUTH_METADATA = "{names.AUTH_METADATA}"\n'
        f'local CREDENTIAL_METADATA = "{names.CREDENTIAL_METADATA}"\n'
        f"local LOGGED = {str(logged).lower()}\n"
        f"local PREFIXES = {{ {prefixes} }}\n"
        f"local COUNT = {count}\n"
        f"local INDEX = [==[{index}]==]\n"
        # Lua drops a newline right after the opening bracket.
        f"local ATTRIBUTES = [==[\n{attributes}]==]\n"
    )
    return f"{lua.SHA256}\n{lua.ADDRESS}\n{data}\n{lua.IDENTITY}\n{lua.API_KEY_AUTH}"


def filter_context(
    auth: KeyAuth, plan: str, acl: Acl | None = None, *, counted: bool = False
) -> Struct:
    """What a route asks of a key, as the script reads it: absent means the strict default.

    ``counted`` says whether limits count by more than the plan.
    """
    return context_of(
        {
            "optional": "" if auth.required else "true",
            "query": "true" if auth.query else "",
            "deferred": "true" if auth.deferred else "",
            "counted": "true" if counted else "",
            "scopes": words(auth.scopes),
            "audiences": words(auth.audiences),
            "tenants": words(auth.tenants),
            "plan": encode_value(plan),
            **acl_parts(acl),
        }
    )


class ApiKeyAuth:
    """The API key filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.API_KEY_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:  # noqa: ARG002 - the hook's signature
        """The entry in the chain. Always there: a first key must not change the listener."""
        return discovered_filter(self.name, LUA_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Switch the filter on where the route asks for keys.

        Elsewhere nothing reads the headers that can only hold a key, and they are
        dropped on the way to the upstream all the same.
        """
        if route.key_auth is not None:
            per_route = lua_v3.LuaPerRoute(
                filter_context=filter_context(
                    route.key_auth,
                    route.plan,
                    route.policy(Acl),
                    counted=counts_callers(route),
                )
            )
            message.typed_per_filter_config[self.name].Pack(per_route, deterministic=True)
        elif not isinstance(route.action, DirectResponse):
            message.request_headers_to_remove.extend(names.CREDENTIAL_HEADERS)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The script with the gateway's keys, for ECDS."""
        config = lua_v3.Lua(clear_route_cache={"value": False})
        config.default_source_code.inline_string = lua_source(
            gateway.api_keys, logged=gateway.tells_of_requests
        )
        extension = extension_v3.TypedExtensionConfig(name=self.name)
        extension.typed_config.Pack(config, deterministic=True)
        payload = extension.SerializeToString(deterministic=True)
        origins = sorted({key.origin for key in gateway.api_keys.keys}, key=str)
        return (SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=origins),)
