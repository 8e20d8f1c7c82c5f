"""gRPC-Web: Envoy's own filter, on the routes that ask for it.

Proto: envoy.extensions.filters.http.grpc_web.v3.GrpcWeb.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2 as grpc_web_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.grpc import GrpcWeb
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.proto import any_of


class GrpcWebBridge:
    """``envoy.filters.http.grpc_web``; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name = "envoy.filters.http.grpc_web"

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The entry in the chain, off."""
        del gateway
        config = any_of(grpc_web_v3.GrpcWeb())
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=config)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Switch the filter on; there is nothing to configure."""
        if route.policy(GrpcWeb) is not None:
            enabled = route_v3.FilterConfig(config=AnyMessage())
            message.typed_per_filter_config[self.name].Pack(enabled, deterministic=True)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()
