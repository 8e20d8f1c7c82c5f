"""The router: picks a host of the route's cluster and sends the request there."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.proto import any_of


class Router:
    """``envoy.filters.http.router``, on every request."""

    name = "envoy.filters.http.router"

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """Without ``x-envoy-*`` headers: neither upstreams nor clients need the proxy's details."""
        del gateway
        router = router_v3.Router(suppress_envoy_headers=True)
        return hcm_v3.HttpFilter(name=self.name, typed_config=any_of(router))

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Nothing: the route's action is the router's configuration."""

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()
