"""CORS: preflights are answered here, answers to other cross-origin requests get their headers."""

from __future__ import annotations

import re

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.cors.v3 import cors_pb2 as cors_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3

from fluxgate.ir import CorsPolicy, Gateway, HTTPRoute
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.proto import any_of, boolean


class Cors:
    """``envoy.filters.http.cors``, switched on by the routes that have a policy."""

    name = "envoy.filters.http.cors"

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, so that adding a policy to a route changes no listener; off without."""
        del gateway
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=any_of(cors_v3.Cors()))

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Add the route's policy, which also switches the filter on."""
        if route.cors:
            policy = any_of(build_cors_policy(route.cors))
            message.typed_per_filter_config[self.name].CopyFrom(policy)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def build_cors_policy(cors: CorsPolicy) -> cors_v3.CorsPolicy:
    """The ``envoy.extensions.filters.http.cors.v3.CorsPolicy`` of a policy.

    A preflight from an origin that is not allowed is answered without CORS headers,
    never passed on to the filters behind or to the upstream.
    """
    return cors_v3.CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in cors.allow_origins],
        allow_methods=", ".join(cors.allow_methods),
        allow_headers=", ".join(cors.allow_headers),
        expose_headers=", ".join(cors.expose_headers),
        max_age=str(cors.max_age_s),
        allow_credentials=boolean(cors.allow_credentials),
        forward_not_matching_preflights=boolean(value=False),
    )


def _origin(origin: str) -> string_matcher_v3.StringMatcher:
    matcher = string_matcher_v3.StringMatcher()
    if "*" in origin and origin != "*":
        before, _, after = origin.partition("*")
        # one or more labels, as in the Gateway API; never a path, port or user name
        matcher.safe_regex.regex = re.escape(before) + "[a-z0-9.-]+" + re.escape(after)
    else:
        # Envoy takes exactly "*" for any origin, without running a regular expression
        matcher.exact = origin
    return matcher
