"""Where the control plane asks an Envoy how the targets of its pools are.

Envoy's admin interface says it of every endpoint (``envoy.admin.v3.Clusters``): whether active
checks fail, and whether it is ejected as an outlier. This listener forwards two of its paths
to whoever shows the token that only this Envoy and the control plane know: it is in the bootstrap, and
in the metadata that Envoy tells the control plane of over xDS. Why this way: docs/decisions/0023.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds.metrics import ADMIN_CLUSTER
from fluxgate.xds.proto import any_of, duration

LISTENER_NAME = "fluxgate-health"
TOKEN_HEADER = "x-fluxgate-token"  # noqa: S105 - a header
PATHS = ("/stats", "/clusters")
_TIMEOUT_MS = 15_000


def build_health_listener(address: str, port: int, token: str) -> listener_v3.Listener:
    """The static listener, for the bootstrap; anybody without ``token`` gets 404."""
    manager = hcm_v3.HttpConnectionManager(stat_prefix=LISTENER_NAME, server_name="fluxgate")
    manager.generate_request_id.value = False
    manager.http_filters.add(
        name="envoy.filters.http.router", typed_config=any_of(router_v3.Router())
    )
    host = manager.route_config.virtual_hosts.add(name="health", domains=["*"])
    host.routes.extend(_forwarded(path, token) for path in PATHS)
    listener = listener_v3.Listener(name=LISTENER_NAME)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    listener.filter_chains.add().filters.add(
        name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager)
    )
    listener.ignore_global_conn_limit = True
    return listener


def _forwarded(path: str, token: str) -> route_v3.Route:
    route = route_v3.Route(name=path.removeprefix("/"))
    route.match.path = path
    for name, value in ((":method", "GET"), (TOKEN_HEADER, token)):
        route.match.headers.add(name=name).string_match.exact = value
    route.request_headers_to_remove.append(TOKEN_HEADER)
    route.route.cluster = ADMIN_CLUSTER
    route.route.timeout.CopyFrom(duration(_TIMEOUT_MS))
    return route
