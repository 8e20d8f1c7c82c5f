"""JSON Web Tokens, verified by Envoy's own filter.

Issuers arrive by ECDS under the filter's name, so that a change of them touches no listener;
a route names the requirement it has. Keys are fetched in the background and kept while their issuer is
away (``async_fetch``); they do not hold up the listener (``fast_listener``): a token that comes before
them fetches for itself.

Envoy checks signature, issuer, audience and times. It takes the algorithm from a key that says one
(``alg``), and from the token where the key does not: the access filter behind this one therefore
compares the token's with those that the issuer is configured for. The token stays in the
request until that filter has counted the tokens, and removes it.

Protos: envoy.extensions.filters.http.jwt_authn.v3.{JwtAuthentication,PerRouteConfig}.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_authn_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.empty_pb2 import Empty

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.jwt_auth import JwtAuth, JwtProvider, JwtRequirement, LocalJwks
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.proto import any_of, duration, payload_of

JWT_AUTHN_TYPE = typeurl.PREFIX + "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
OPTIONAL = "?"
"""Behind the name of a requirement: requests without a token may pass, too."""
_RETRY_FETCH_MS = 1_000


class JwtAuthentication:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.JWT_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:  # noqa: ARG002 - the hook's signature
        """The entry in the chain. Always there: a first issuer must not change the listener."""
        return discovered_filter(self.name, JWT_AUTHN_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Name the route's requirement where it takes tokens.

        Where other credentials will do, too, a request without a token passes: whether it has
        any of them is for the access filter to say. A token that is there must be good in any case.
        """
        access, tokens = route.policy(Access), route.policy(JwtAuth)
        if access is None or tokens is None or "JWT" not in access.credentials:
            return
        suffix = OPTIONAL if access.optional_for("JWT") else ""
        per_route = jwt_authn_v3.PerRouteConfig(requirement_name=tokens.requirement + suffix)
        message.typed_per_filter_config[self.name].CopyFrom(any_of(per_route))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The gateway's issuers and requirements, for ECDS."""
        providers = gateway.shared_of(JwtProvider)
        config = jwt_authn_v3.JwtAuthentication(
            providers={each.name: build_provider(each) for each in providers},
            requirement_map=_requirements(gateway.shared_of(JwtRequirement)),
        )
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=any_of(config))
        clusters = {each.jwks.cluster for each in providers if not isinstance(each.jwks, LocalJwks)}
        return (
            SnapshotResource.of(
                typeurl.EXTENSION,
                self.name,
                payload_of(extension),
                references=[(typeurl.CLUSTER, cluster) for cluster in sorted(clusters)],
                origins=sorted({each.origin for each in providers}, key=str),
            ),
        )


def build_provider(provider: JwtProvider) -> jwt_authn_v3.JwtProvider:
    """``envoy.extensions.filters.http.jwt_authn.v3.JwtProvider`` of one issuer."""
    message = jwt_authn_v3.JwtProvider(
        issuer=provider.issuer,
        audiences=provider.audiences,
        require_expiration=provider.require_expiration,
        clock_skew_seconds=provider.clock_skew_s,
        forward=True,
        payload_in_metadata=provider.name,
        header_in_metadata=f"{provider.name}#header",
    )
    if provider.max_lifetime_s:
        message.max_lifetime.seconds = provider.max_lifetime_s
    if provider.cached:
        message.jwt_cache_config.jwt_cache_size = provider.cached
    _set_source(message, provider)
    _set_keys(message, provider)
    return message


def _set_source(message: jwt_authn_v3.JwtProvider, provider: JwtProvider) -> None:
    source = provider.source
    if source.kind == "cookie":
        message.from_cookies.append(source.name)
    elif source.kind == "query":
        message.from_params.append(source.name)
    else:
        # Envoy compares the scheme byte for byte, RFC 9110 11.1 without regard to case
        for prefix in dict.fromkeys((source.prefix, source.prefix.lower())):
            message.from_headers.add(name=source.name, value_prefix=prefix)


def _set_keys(message: jwt_authn_v3.JwtProvider, provider: JwtProvider) -> None:
    keys = provider.jwks
    if isinstance(keys, LocalJwks):
        message.local_jwks.inline_bytes = keys.document.reveal()
        return
    remote = message.remote_jwks
    remote.http_uri.uri = keys.uri
    remote.http_uri.cluster = keys.cluster
    remote.http_uri.timeout.CopyFrom(duration(keys.timeout_ms))
    remote.cache_duration.CopyFrom(duration(keys.refresh_ms))
    remote.async_fetch.fast_listener = True
    remote.async_fetch.failed_refetch_duration.CopyFrom(duration(_RETRY_FETCH_MS))


def _requirements(
    requirements: tuple[JwtRequirement, ...],
) -> dict[str, jwt_authn_v3.JwtRequirement]:
    made = {}
    for each in requirements:
        options = [jwt_authn_v3.JwtRequirement(provider_name=name) for name in each.providers]
        made[each.name] = _any_of(options)
        missing = jwt_authn_v3.JwtRequirement(allow_missing=Empty())
        made[each.name + OPTIONAL] = _any_of([*options, missing])
    return made


def _any_of(options: list[jwt_authn_v3.JwtRequirement]) -> jwt_authn_v3.JwtRequirement:
    if len(options) == 1:
        return options[0]
    either = jwt_authn_v3.JwtRequirementOrList(requirements=options)
    return jwt_authn_v3.JwtRequirement(requires_any=either)
