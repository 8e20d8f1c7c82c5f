"""Names and passwords: Envoy's basic_auth filter, whole for every route.

The filter's own configuration per route could not say whether a request without a password
may pass, as it may where another credential is enough. Who was verified is said in the dynamic
metadata of the filter, as ``username``; the access filter reads it.

Protos: envoy.extensions.filters.http.basic_auth.v3.BasicAuth.
"""

from __future__ import annotations

from envoy.extensions.filters.http.basic_auth.v3 import basic_auth_pb2 as basic_auth_v3

from fluxgate.ir import HTTPRoute
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.basic_auth import BasicAuth

_ALLOW_MISSING = b"\x20\x01"
_EMIT_DYNAMIC_METADATA = b"\x28\x01"
_REALM_TAG = b"\x32"
"""Fields 4, 5 and 6 of BasicAuth in Envoy 1.40, which the proto package does not know yet."""


def hides_password(route: HTTPRoute, users: BasicAuth) -> bool:
    """Whether the route has to keep the password from the upstream.

    Elsewhere the access filter does, unless the header holds something else.
    """
    access = route.policy(Access)
    return not users.forward and (access is None or "Basic" not in access.credentials)


def build_basic_auth(users: BasicAuth, *, optional: bool) -> basic_auth_v3.BasicAuth:
    """The filter's configuration. ``optional`` lets requests without a password pass."""
    config = basic_auth_v3.BasicAuth()
    config.users.inline_bytes = users.users.reveal()
    realm = users.realm.encode()
    config.MergeFromString(_EMIT_DYNAMIC_METADATA + _REALM_TAG + bytes([len(realm)]) + realm)
    if optional:
        config.MergeFromString(_ALLOW_MISSING)
    return config
