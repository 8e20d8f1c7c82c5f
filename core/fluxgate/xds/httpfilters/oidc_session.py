"""Whose session it is: a Lua filter that reads the ID token which the oauth2 filter hands on.

It also keeps the session's cookies, which only the gateway can read, from upstreams.

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
from fluxgate.ir.policies.oidc import Oidc
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.asked import LUA_TYPE
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.key_table import encode_value
from fluxgate.xds.httpfilters.oidc import SESSION_COOKIES, cookie_prefix
from fluxgate.xds.proto import any_of, payload_of


def session_source() -> str:
    """The script; it knows nothing of any gateway."""
    data = (
        f'local CREDENTIAL_METADATA = "{names.CREDENTIAL_METADATA}"\n'
        f'local ID_TOKEN_HEADER = "{names.ID_TOKEN_HEADER}"\n'
    )
    return f"{data}\n{lua.JSON_VALUES}\n{lua.OIDC_SESSION}"


class OidcSession:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.OIDC_SESSION_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The entry in the chain. Always there: a first login must not change the listener."""
        del gateway
        return discovered_filter(self.name, LUA_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Switch the filter on where people log in."""
        if (login := route.policy(Oidc)) is None:
            return
        per_route = lua_v3.LuaPerRoute(filter_context=_context(login))
        message.typed_per_filter_config[self.name].CopyFrom(any_of(per_route))
        # what Envoy says of a login that failed is nobody else's business
        message.request_headers_to_remove.extend(
            ("x-envoy-oauth-status", "x-envoy-oauth-failure-reason")
        )

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The script, for ECDS."""
        config = lua_v3.Lua(clear_route_cache={"value": False})
        config.default_source_code.inline_string = session_source()
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=any_of(config))
        return (
            SnapshotResource.of(
                typeurl.EXTENSION, self.name, payload_of(extension), origins=(gateway.origin,)
            ),
        )


def _context(login: Oidc) -> Struct:
    """What the script has to know of a login."""
    claims = login.claims
    context = Struct()
    context["login"] = {
        "issuer": login.provider.issuer,
        "client_id": login.client_id,
        "cookies": cookie_prefix(login),
        "names": list(SESSION_COOKIES),
        "domain": login.cookie_domain,
        "forward": login.forward == "IdToken",
        "subject": claims.subject,
        "tenant_claim": claims.tenant,
        "tenant": encode_value(login.tenant),
        "roles": list(claims.roles),
        "scopes": list(claims.scopes),
    }
    return context
