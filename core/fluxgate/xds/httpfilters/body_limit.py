"""Bounds on request bodies, also of those that do not tell their length.

Envoy's buffer filter would hold every body until it is whole, and so end every stream. This script
judges the length that a request tells, and holds only what tells none; see lua/body_limit.lua.

Protos: envoy.extensions.filters.http.lua.v3.{Lua,LuaPerRoute},
envoy.config.route.v3.Route.request_body_buffer_limit.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.struct_pb2 import Struct

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.request_size import BodyLimit
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.proto import any_of


class BodyLimitFilter:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.BODY_LIMIT_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off; the script is the same for all routes."""
        del gateway
        config = lua_v3.Lua(clear_route_cache={"value": False})
        config.default_source_code.inline_string = lua.BODY_LIMIT
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=any_of(config))

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Say the bound, switch the filter on, and let the route hold so much of a body."""
        limit = route.policy(BodyLimit)
        if limit is None:
            return
        context = Struct()
        context["bytes"] = str(limit.max_bytes)
        if limit.streams:
            context["streams"] = "true"
        per_route = lua_v3.LuaPerRoute(filter_context=context)
        message.typed_per_filter_config[self.name].Pack(per_route, deterministic=True)
        if not limit.streams:
            # one more than allowed, so that the script sees what is too large
            wanted = max(message.request_body_buffer_limit.value, limit.max_bytes + 1)
            message.request_body_buffer_limit.value = wanted

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()
