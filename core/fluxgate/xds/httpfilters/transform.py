"""Queries and JSON bodies, changed by a script: Envoy has no filter of its own that does it right.

The same script bounds the size of answers: no other filter sees them before the first change and without
one more in every chain.

``header_mutation`` decodes and sorts all of a query to change one parameter of it, and answers 503 when
any of them holds a byte that may not stand in a path. Bodies have no filter that can remove a field.

The script is the same for all gateways and arrives by ECDS, a route brings its rules. What the script
has to hold of a body is bounded by the route, in both directions.

Protos: envoy.extensions.filters.http.lua.v3.{Lua,LuaPerRoute},
envoy.config.route.v3.Route.request_body_buffer_limit.
"""

from __future__ import annotations

from hashlib import sha256

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.struct_pb2 import Struct

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.response_size import ResponseLimit
from fluxgate.ir.policies.transform import (
    BodyChange,
    BodyChanges,
    Change,
    HeaderChange,
    Part,
    QueryChange,
    RequestTransform,
    ResponseTransform,
    Source,
    Template,
)
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.lua.literal import LuaValue, literal
from fluxgate.xds.proto import any_of, payload_of

LUA_TYPE = typeurl.PREFIX + "envoy.extensions.filters.http.lua.v3.Lua"
_OF_RESPONSE = (Source.TEXT, Source.RESPONSE_HEADER, Source.RESPONSE_STATUS)


def transform_rules(
    request: RequestTransform | None,
    response: ResponseTransform | None,
    limit: ResponseLimit | None,
) -> dict[str, LuaValue]:
    """What the script does on a route, as the table it reads; empty where Envoy's own filter will do."""
    rules: dict[str, LuaValue] = {} if limit is None else {"most": limit.max_bytes}
    if request is not None:
        headers = [_header(each) for each in request.headers if each.from_query]
        query = [_query(each) for each in request.query]
        rules |= {"headers": headers} if headers else {}
        rules |= {"query": query} if query else {}
        rules |= {"body": _body(request.body, None)} if request.body else {}
    if response is not None and response.body is not None:
        kept: list[Part] = []
        rules["response"] = _body(response.body, kept)
        rules |= {"keep": _template(tuple(kept), None)} if kept else {}
    return rules


def _header(change: HeaderChange) -> LuaValue:
    return [change.change.value, change.name, _template(change.value, None)]


def _query(change: QueryChange) -> LuaValue:
    named: list[LuaValue] = [change.change.value, change.name]
    return named if change.change is Change.REMOVE else [*named, _template(change.value, None)]


def _body(body: BodyChanges, kept: list[Part] | None) -> LuaValue:
    changes = [_body_change(each, kept) for each in body.changes]
    return {"max": body.max_bytes, "refuse": body.refuse, "changes": changes}


def _body_change(change: BodyChange, kept: list[Part] | None) -> LuaValue:
    path: list[LuaValue] = [False if step is None else step for step in change.path]
    value: LuaValue = change.to or change.json
    if change.value is not None:
        value = _template(change.value, kept)
    return [change.change.value, path, value]


def _template(template: Template, kept: list[Part] | None) -> LuaValue:
    """The parts; those that only the request knows go into ``kept`` where there is a list for them."""
    parts: list[LuaValue] = []
    for part in template:
        if kept is None or part.source in _OF_RESPONSE:
            parts.append([part.source.value, part.name])
            continue
        if part not in kept:
            kept.append(part)
        parts.append(["kept", str(kept.index(part) + 1)])
    return parts


class Transform:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.TRANSFORM_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off; the script comes by ECDS."""
        del gateway
        return discovered_filter(self.name, LUA_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Bring the rules, and let the route hold as much of a body as they read."""
        request, response = route.policy(RequestTransform), route.policy(ResponseTransform)
        limit = route.policy(ResponseLimit)
        found = transform_rules(request, response, limit)
        if not found:
            return
        rules = literal(found)
        context = Struct()
        context["key"] = sha256(rules.encode()).hexdigest()
        context["rules"] = rules
        per_route = lua_v3.LuaPerRoute(filter_context=context)
        message.typed_per_filter_config[self.name].Pack(per_route, deterministic=True)
        bodies = [each.body for each in (request, response) if each and each.body]
        # one more than allowed, so that the script sees what is too large
        wanted = [each.max_bytes + 1 for each in (*bodies, limit) if each]
        most = max([message.request_body_buffer_limit.value, *wanted])
        if most:
            message.request_body_buffer_limit.value = most

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The script, for ECDS."""
        config = lua_v3.Lua(clear_route_cache={"value": False})
        config.default_source_code.inline_string = (
            f"local ANSWERED_HEADER = {literal(names.ANSWERED_HEADER)}\n"
            f"local FILTER_NAME = {literal(self.name)}\n"
            f"local TOLD_TOO_LARGE = {literal(names.TOLD_TOO_LARGE)}\n{lua.TRANSFORM}"
        )
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=any_of(config))
        payload = payload_of(extension)
        return (
            SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=(gateway.origin,)),
        )
