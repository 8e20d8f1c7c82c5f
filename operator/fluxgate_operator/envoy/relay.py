"""An Envoy that passes xDS on, for a program beside it that cannot prove who it is.

The rate limit service takes its configuration over xDS, but reads a token once, when it starts,
and tokens of ServiceAccounts live an hour. The Envoy beside it in the pod speaks to the control
plane in its stead: TLS, and the present token on every stream (see docs/decisions/0014). It
listens on loopback only, serves no routes, and asks for no configuration of its own.

Protos: envoy.config.listener.v3.Listener, HttpConnectionManager, envoy.config.route.v3.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds.proto import any_of, duration

NAME = "fluxgate-xds-relay"


def build_relay_listener(address: str, port: int, cluster: str) -> listener_v3.Listener:
    """A plain-text listener for gRPC whose every stream goes to ``cluster``."""
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix=NAME, codec_type=hcm_v3.HttpConnectionManager.HTTP2
    )
    host = manager.route_config.virtual_hosts.add(name=NAME, domains=["*"])
    host.routes.append(_everything_to(cluster))
    # a stream of xDS is silent for as long as nothing changes
    manager.stream_idle_timeout.CopyFrom(duration(0))
    router = any_of(router_v3.Router(suppress_envoy_headers=True))
    manager.http_filters.add(name="envoy.filters.http.router", typed_config=router)
    listener = listener_v3.Listener(name=NAME)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    listener.filter_chains.add().filters.add(
        name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager)
    )
    return listener


def _everything_to(cluster: str) -> route_v3.Route:
    route = route_v3.Route()
    route.match.prefix = "/"
    route.route.cluster = cluster
    route.route.timeout.CopyFrom(duration(0))
    return route
