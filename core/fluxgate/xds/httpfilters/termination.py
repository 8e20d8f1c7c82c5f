"""Maintenance: a script answers for a route before anything asks for a credential.

Envoy's direct responses come last in the chain, and so would its fault filter's messages be fixed.

Protos: envoy.extensions.filters.http.lua.v3.{Lua,LuaPerRoute}.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.struct_pb2 import Struct

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.termination import RequestTermination
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.key_table import encode_block
from fluxgate.xds.httpfilters.transform import LUA_TYPE
from fluxgate.xds.proto import any_of, payload_of


def termination_context(termination: RequestTermination) -> Struct:
    """What the script needs to know; absent where there is nothing to say."""
    parts = {
        "status": str(termination.status),
        "message": termination.message,
        "retry_after": str(termination.retry_after_s) if termination.retry_after_s else "",
        "header": termination.bypass_header,
        "digest": termination.bypass_sha256,
        "cidrs": " ".join(encode_block(each) for each in termination.bypass_cidrs),
    }
    context = Struct()
    context.update({name: value for name, value in parts.items() if value})
    return context


class Termination:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.TERMINATION_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off; the script comes by ECDS."""
        del gateway
        return discovered_filter(self.name, LUA_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Say the answer and who may pass, and so switch the filter on."""
        termination = route.policy(RequestTermination)
        if termination is not None:
            per_route = lua_v3.LuaPerRoute(filter_context=termination_context(termination))
            message.typed_per_filter_config[self.name].Pack(per_route, deterministic=True)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The script, for ECDS."""
        config = lua_v3.Lua(clear_route_cache={"value": False})
        source = f"{lua.SHA256}\n{lua.ADDRESS}\n{lua.TERMINATION}"
        config.default_source_code.inline_string = source
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=any_of(config))
        payload = payload_of(extension)
        return (
            SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=(gateway.origin,)),
        )
