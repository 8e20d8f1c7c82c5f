"""The three hooks of an HTTP filter."""

from __future__ import annotations

from typing import Protocol

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.snapshot import SnapshotResource


class HTTPFilter(Protocol):
    """One HTTP filter, one file: what it adds to the listener, to a route, and beside them."""

    name: str
    """The filter's name in the chain; also the key of its per-route configuration."""

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The entry in the connection manager's chain, or None when the gateway never needs it.

        Filters are ``disabled`` here unless every request passes them; a route
        turns one on by its per-route configuration.
        """
        ...

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Add what this filter needs on ``route`` to its Envoy message."""
        ...

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """Resources of its own: configurations delivered by ECDS, and secrets by SDS."""
        ...
