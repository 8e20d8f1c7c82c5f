"""Bandwidth: bodies wait until the rate of their route lets them pass.

Every match of a route has token buckets of its own, in every Envoy by itself, which all its
requests share. They are made anew, and full, when the route table changes.

Protos: envoy.extensions.filters.http.bandwidth_limit.v3.BandwidthLimit.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.bandwidth_limit.v3 import bandwidth_limit_pb2 as bandwidth_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.wrappers_pb2 import UInt64Value

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.bandwidth import Bandwidth
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.proto import any_of, duration

_PREFIX = "bandwidth"


class BandwidthLimit:
    """``envoy.filters.http.bandwidth_limit``, switched on by the routes that have a rate."""

    name = "envoy.filters.http.bandwidth_limit"

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off."""
        del gateway
        config = any_of(bandwidth_v3.BandwidthLimit(stat_prefix=_PREFIX))
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=config)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Add the route's rate, which also switches the filter on."""
        if (policy := route.policy(Bandwidth)) is not None:
            config = any_of(build_bandwidth(policy))
            message.typed_per_filter_config[self.name].CopyFrom(config)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def build_bandwidth(policy: Bandwidth) -> bandwidth_v3.BandwidthLimit:
    """The ``BandwidthLimit`` of a policy; ``limit_kbps`` counts KiB a second."""
    modes = {
        (True, False): bandwidth_v3.BandwidthLimit.REQUEST,
        (False, True): bandwidth_v3.BandwidthLimit.RESPONSE,
        (True, True): bandwidth_v3.BandwidthLimit.REQUEST_AND_RESPONSE,
    }
    return bandwidth_v3.BandwidthLimit(
        stat_prefix=_PREFIX,
        enable_mode=modes[policy.requests, policy.responses],
        limit_kbps=UInt64Value(value=policy.kib_per_second),
        fill_interval=duration(policy.fill_interval_ms),
    )
