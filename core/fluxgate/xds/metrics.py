"""Envoy's Prometheus metrics on a port of their own, and nothing else of the admin interface.

The admin interface can end Envoy, change its log level and show its configuration, so it listens
where only its pod can reach it. This listener forwards GET /metrics and GET /stats/prometheus
to it, without a query, which could hold an expensive regular expression.

The listener and its cluster stand in the bootstrap: metrics are there before there is any
configuration, and tell why there is none. Source: envoy.config.bootstrap.v3.Bootstrap.
"""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import address_pb2 as address_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds.proto import any_of, duration

LISTENER_NAME = "fluxgate-metrics"
ADMIN_CLUSTER = "fluxgate-admin"
PATHS = ("/metrics", "/stats/prometheus")

_SCRAPE_TIMEOUT_MS = 15_000


def build_metrics_listener(address: str, port: int) -> listener_v3.Listener:
    """The static listener for whoever scrapes."""
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix=LISTENER_NAME, http_filters=[_router()], server_name="fluxgate"
    )
    manager.generate_request_id.value = False
    host = manager.route_config.virtual_hosts.add(name="metrics", domains=["*"])
    host.routes.extend(_forwarded(path) for path in PATHS)
    listener = listener_v3.Listener(name=LISTENER_NAME)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    listener.filter_chains.add().filters.add(
        name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager)
    )
    # what happens under overload is what people want to see
    listener.ignore_global_conn_limit = True
    return listener


def build_admin_cluster(admin: address_v3.Address) -> cluster_v3.Cluster:
    """The way to the admin interface of the same process."""
    cluster = cluster_v3.Cluster(name=ADMIN_CLUSTER, connect_timeout=duration(1_000))
    cluster.load_assignment.cluster_name = ADMIN_CLUSTER
    endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.CopyFrom(admin)
    return cluster


def _forwarded(path: str) -> route_v3.Route:
    route = route_v3.Route(name=path.removeprefix("/"))
    route.match.path = path
    for name, value in ((":method", "GET"), (":path", path)):
        # the header holds the query, too
        route.match.headers.add(name=name).string_match.exact = value
    route.route.cluster = ADMIN_CLUSTER
    route.route.prefix_rewrite = "/stats/prometheus"
    route.route.timeout.CopyFrom(duration(_SCRAPE_TIMEOUT_MS))
    return route


def _router() -> hcm_v3.HttpFilter:
    return hcm_v3.HttpFilter(
        name="envoy.filters.http.router", typed_config=any_of(router_v3.Router())
    )
