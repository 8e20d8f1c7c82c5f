"""The slot for what a route brings of its own: scripts, modules, services, raw Envoy configuration.

All of these types share one slot, so that a route without any of them pays for one filter that is off.
In the slot they run in the order of :meth:`Extensions.patch_route`, between the two
filters that keep the caller's identity (:mod:`fluxgate.xds.httpfilters.identity_guard`).

Protos: xds.type.v3.TypedStruct, and those of the filters' own modules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.message import Message
from xds.type.v3 import typed_struct_pb2 as typed_struct_v3

from fluxgate.ir import Forward, Gateway, HTTPRoute
from fluxgate.ir.policies.envoy_patch import EnvoyPatch, PatchedFilter
from fluxgate.ir.policies.ext_proc import ExtProc
from fluxgate.ir.policies.grpc import GrpcJson
from fluxgate.ir.policies.lua import Lua
from fluxgate.ir.policies.mcp import Mcp
from fluxgate.ir.policies.wasm import Wasm
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters.ext_proc import build_ext_proc
from fluxgate.xds.httpfilters.grpc_json import build_transcoder
from fluxgate.xds.httpfilters.identity_guard import remember_identity, restore_identity
from fluxgate.xds.httpfilters.lua_script import build_lua
from fluxgate.xds.httpfilters.mcp import build_mcp
from fluxgate.xds.httpfilters.route_guard import mark_route, same_route
from fluxgate.xds.httpfilters.slot import fill, slot
from fluxgate.xds.httpfilters.wasm_module import build_wasm

Named = tuple[str, Message]


class Extensions:
    """The slot's three hooks; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.EXTENSION_SLOT

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The empty slot."""
        del gateway
        return slot(self.name)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Fill the slot, and merge the fragment of a patch.

        A route that does not forward (one that is closed, above all) gets no fragment.
        """
        if not route.policies:
            return
        own = list(_own(route))
        if own:
            own = [("remember-identity", remember_identity()), *own]
            own.append(("restore-identity", restore_identity()))
            if route.policy(Wasm) is not None or route.policy(EnvoyPatch) is not None:
                mark_route(message)
                own.append(("same-route", same_route(message.name)))
        if (transcoding := route.policy(GrpcJson)) is not None:
            # behind everything: scripts see what the client sees
            own.append(("grpc-json-transcode", build_transcoder(transcoding)))
        if (server := route.policy(Mcp)) is not None:
            own = [*build_mcp(server), *own]
        for name, config in own:
            fill(message, self.name, name, config)
        patch = route.policy(EnvoyPatch)
        if patch is not None and patch.route and isinstance(route.action, Forward):
            message.MergeFrom(route_v3.Route.FromString(patch.route))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def _own(route: HTTPRoute) -> Iterator[Named]:
    if (script := route.policy(Lua)) is not None:
        yield "lua", build_lua(script)
    if (service := route.policy(ExtProc)) is not None:
        yield "ext-proc", build_ext_proc(service)
    if (module := route.policy(Wasm)) is not None:
        yield "wasm", build_wasm(module)
    if (patch := route.policy(EnvoyPatch)) is not None:
        for each in patch.filters:
            yield f"envoy-patch/{each.name}", _typed_struct(each)


def _typed_struct(written: PatchedFilter) -> typed_struct_v3.TypedStruct:
    """JSON that Envoy turns into the message of the type URL by its own descriptors."""
    message = typed_struct_v3.TypedStruct(type_url=written.type_url)
    message.value.update(json.loads(written.config))
    return message
