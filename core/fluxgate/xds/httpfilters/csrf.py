"""Cross-site request forgery: Envoy's CSRF filter, per route.

Proto: envoy.extensions.filters.http.csrf.v3.CsrfPolicy.
"""

from __future__ import annotations

import re

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.csrf.v3 import csrf_pb2 as csrf_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.csrf import Csrf
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.proto import any_of

_ALWAYS = core_v3.RuntimeFractionalPercent(default_value={"numerator": 100})
_LABELS = "[a-z0-9-]+([.][a-z0-9-]+)*"


class CsrfProtection:
    """``envoy.filters.http.csrf``; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name = "envoy.filters.http.csrf"

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The entry in the chain; off, until a route brings its policy."""
        del gateway
        empty = csrf_v3.CsrfPolicy(filter_enabled=_ALWAYS)
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=any_of(empty))

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Add the route's policy, which also switches the filter on."""
        if (csrf := route.policy(Csrf)) is not None:
            policy = csrf_v3.CsrfPolicy(
                filter_enabled=_ALWAYS,
                additional_origins=[_origin(each) for each in csrf.origins],
            )
            message.typed_per_filter_config[self.name].CopyFrom(any_of(policy))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def _origin(site: str) -> string_matcher_v3.StringMatcher:
    """The filter compares host and port of the origin, which browsers write in lower case."""
    if not site.startswith("*."):
        return string_matcher_v3.StringMatcher(exact=site)
    matcher = string_matcher_v3.StringMatcher()
    matcher.safe_regex.regex = _LABELS + re.escape(site[1:])
    return matcher
