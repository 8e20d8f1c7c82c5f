"""Who is calling, where more than API keys may say so, decided in one place.

A Lua filter behind every filter that verifies a credential. It takes the strongest of those that
were verified (:data:`fluxgate.ir.policies.access.STRENGTH`), refuses two that disagree in tenant or
subject, checks scopes, audiences, tenants and the access list, sets the identity headers, and
writes ``fluxgate.auth`` for limits, spans and logs. Routes that take API keys alone do without it:
there the API key filter does the same by itself.

A filter says "verified" in the dynamic metadata ``fluxgate.credential``: one object a class
(``api_key``, ``mtls``, ``oidc``, ``basic``) with the texts ``subject``, ``tenant``, ``workspace``, ``role``,
``audience``, ``plan``, ``id`` and ``scopes``. Tokens are read from jwt_authn's own metadata.

Protos: envoy.extensions.filters.http.lua.v3.{Lua,LuaPerRoute}.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.acl import Acl
from fluxgate.ir.policies.basic_auth import BasicAuth
from fluxgate.ir.policies.jwt_auth import JwtAuth, JwtProvider
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.asked import LUA_TYPE, acl_parts, context_of, counts_callers, words
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.key_table import encode_value
from fluxgate.xds.httpfilters.lua.literal import LuaValue, literal
from fluxgate.xds.proto import any_of, payload_of

CLASSES = {"MTLS": "mtls", "JWT": "jwt", "OIDC": "oidc", "ApiKey": "api_key", "Basic": "basic"}
"""What the script calls each class of credentials."""


def access_source(gateway: Gateway) -> str:
    """The script, with what it has to know of the gateway's token issuers and plans."""
    providers = {each.name: _provider(each) for each in gateway.shared_of(JwtProvider)}
    plans = {encode_value(plan.name): True for plan in gateway.plans}
    data = (
        f'local AUTH_METADATA = "{names.AUTH_METADATA}"\n'
        f'local CREDENTIAL_METADATA = "{names.CREDENTIAL_METADATA}"\n'
        f'local BASIC_AUTH_FILTER = "{names.BASIC_AUTH_FILTER}"\n'
        f"local LOGGED = {str(gateway.tells_of_requests).lower()}\n"
        f"local PROVIDERS = {literal(providers)}\n"
        f"local PLANS = {literal(plans)}\n"
    )
    return f"{data}\n{lua.IDENTITY}\n{lua.PEERS}\n{lua.TOKENS}\n{lua.ACCESS}"


def _provider(provider: JwtProvider) -> LuaValue:
    claims, source = provider.claims, provider.source
    return {
        "name": provider.name,
        # issuer and subject together are unique (OpenID Connect Core 1.0, 5.7), and no key's id
        "id_prefix": f"jwt:{encode_value(provider.issuer)}#",
        "algorithms": dict.fromkeys(provider.algorithms, True),
        "source": {"kind": source.kind, "name": source.name, "prefix": source.prefix},
        "forward": provider.forward,
        "subject": claims.subject,
        "tenant_claim": claims.tenant or None,
        "tenant": encode_value(provider.tenant),
        "workspace": claims.workspace or None,
        "role": claims.role or None,
        "roles": claims.roles,
        "plan_claim": claims.plan or None,
        "plan": encode_value(provider.plan),
        "scopes": claims.scopes,
        "privilege_domains": claims.privilege_domains,
        "sub_domains": claims.sub_domains,
        "headers": [{"claim": claim, "name": header} for claim, header in provider.headers],
    }


class AccessDecision:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.ACCESS_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:  # noqa: ARG002 - the hook's signature
        """The entry in the chain. Always there: a first issuer must not change the listener."""
        return discovered_filter(self.name, LUA_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Switch the filter on where more than API keys may say who is calling."""
        access = route.policy(Access)
        if access is None:
            return
        tokens = route.policy(JwtAuth)
        providers = tokens.providers if tokens and "JWT" in access.credentials else ()
        parts = {
            "credentials": " ".join(CLASSES[each] for each in access.credentials),
            "optional": "" if access.required else "true",
            "providers": " ".join(providers),
            "scopes": words(access.scopes),
            "audiences": words(access.audiences),
            "tenants": words(access.tenants),
            "keepbasic": "true" if (users := route.policy(BasicAuth)) and users.forward else "",
            "plan": encode_value(route.plan),
            "fallback": encode_value(access.plan),
            "counted": "true" if counts_callers(route) else "",
            **acl_parts(route.policy(Acl)),
        }
        per_route = lua_v3.LuaPerRoute(filter_context=context_of(parts))
        message.typed_per_filter_config[self.name].CopyFrom(any_of(per_route))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The script with the gateway's issuers, for ECDS."""
        config = lua_v3.Lua(clear_route_cache={"value": False})
        config.default_source_code.inline_string = access_source(gateway)
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=any_of(config))
        origins = {each.origin for each in gateway.shared_of(JwtProvider)}
        return (
            SnapshotResource.of(
                typeurl.EXTENSION,
                self.name,
                payload_of(extension),
                origins=sorted(origins, key=str),
            ),
        )
