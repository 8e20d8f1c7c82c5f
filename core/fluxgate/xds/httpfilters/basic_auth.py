"""Names and passwords: Envoy's basic_auth filter, in a slot, with the users of each route.

In a slot, because the filter's own configuration per route cannot say whether a request
without a password may pass, as it may where another credential is enough. Who was verified is
said in the dynamic metadata of the filter, as ``username``; the access filter reads it.

Protos: envoy.extensions.filters.http.basic_auth.v3.BasicAuth.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.basic_auth.v3 import basic_auth_pb2 as basic_auth_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.basic_auth import BasicAuth
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters.credential_classes import may_be_missing
from fluxgate.xds.httpfilters.slot import fill, slot

_ALLOW_MISSING = b"\x20\x01"
_EMIT_DYNAMIC_METADATA = b"\x28\x01"
_REALM_TAG = b"\x32"
"""Fields 4, 5 and 6 of BasicAuth in Envoy 1.40, which the proto package does not know yet."""


class BasicAuthUsers:
    """The slot of the filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.BASIC_AUTH_SLOT

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The empty slot."""
        del gateway
        return slot(self.name)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Put the filter with the route's users into the slot."""
        if (users := route.policy(BasicAuth)) is None:
            return
        config = build_basic_auth(users, optional=may_be_missing(route, "Basic"))
        fill(message, self.name, names.BASIC_AUTH_FILTER, config)
        access = route.policy(Access)
        if not users.forward and (access is None or "Basic" not in access.credentials):
            # elsewhere the access filter removes it, unless it holds something else
            message.request_headers_to_remove.append("authorization")

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def build_basic_auth(users: BasicAuth, *, optional: bool) -> basic_auth_v3.BasicAuth:
    """The filter's configuration. ``optional`` lets requests without a password pass."""
    config = basic_auth_v3.BasicAuth()
    config.users.inline_bytes = users.users.reveal()
    realm = users.realm.encode()
    config.MergeFromString(_EMIT_DYNAMIC_METADATA + _REALM_TAG + bytes([len(realm)]) + realm)
    if optional:
        config.MergeFromString(_ALLOW_MISSING)
    return config
