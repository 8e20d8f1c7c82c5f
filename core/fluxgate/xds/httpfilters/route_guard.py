"""A request that passed the authentication of one route stays on it.

Envoy's Wasm filter makes it choose a route again when a module changes a header of the request, and
so may filters of a patch. The filters that protect the new route would not run any more, so a
request that comes to another one behind the extensions ends there.

Protos: envoy.extensions.filters.http.rbac.v3.RBAC, envoy.config.rbac.v3.SourcedMetadata.
"""

from __future__ import annotations

from envoy.config.rbac.v3 import rbac_pb2 as rbac_config_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_v3

from fluxgate.xds import names

_KEY = "route"


def mark_route(message: route_v3.Route) -> None:
    """Write into the route's metadata which one it is."""
    message.metadata.filter_metadata[names.EXTENSION_SLOT][_KEY] = message.name


def same_route(name: str) -> rbac_v3.RBAC:
    """Stands behind the extensions; refuses what is not on the route ``name`` any more."""
    same = rbac_config_v3.Permission()
    matcher = same.sourced_metadata.metadata_matcher
    same.sourced_metadata.metadata_source = rbac_config_v3.ROUTE
    matcher.filter = names.EXTENSION_SLOT
    matcher.path.add(key=_KEY)
    matcher.value.string_match.exact = name
    policy = rbac_config_v3.Policy(
        permissions=[rbac_config_v3.Permission(not_rule=same)],
        principals=[rbac_config_v3.Principal(any=True)],
    )
    deny = rbac_config_v3.RBAC.DENY
    return rbac_v3.RBAC(
        rules=rbac_config_v3.RBAC(action=deny, policies={names.ANOTHER_ROUTE: policy})
    )
