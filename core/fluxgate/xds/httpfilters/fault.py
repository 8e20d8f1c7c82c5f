"""Faults on purpose: ``envoy.filters.http.fault``, with its whole configuration on the route.

Protos: envoy.extensions.filters.http.fault.v3.{HTTPFault,FaultAbort}.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.fault.v3 import fault_pb2 as fault_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.type.v3 import percent_pb2 as percent_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.fault import Fault
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.proto import any_of, duration, uint32
from fluxgate.xds.route_match import header_matcher
from fluxgate.xds.wire import field_string

_RESPONSE_BODY = 6
"""``FaultAbort.response_body`` of Envoy 1.40, which the proto package does not know yet."""
_MILLION = 1_000_000


def build_fault(fault: Fault) -> fault_v3.HTTPFault:
    """``envoy.extensions.filters.http.fault.v3.HTTPFault``; without statistics of each cluster."""
    message = fault_v3.HTTPFault(
        headers=[header_matcher(each) for each in fault.headers],
        disable_downstream_cluster_stats=True,
    )
    if fault.delay_ms and fault.delay_percent:
        message.delay.fixed_delay.CopyFrom(duration(fault.delay_ms))
        message.delay.percentage.CopyFrom(_fraction(fault.delay_percent))
    if fault.abort_percent:
        if fault.grpc_status:
            message.abort.grpc_status = fault.grpc_status
        else:
            message.abort.http_status = fault.http_status
        message.abort.percentage.CopyFrom(_fraction(fault.abort_percent))
        message.abort.MergeFromString(field_string(_RESPONSE_BODY, fault.message))
    if fault.max_active is not None:
        message.max_active_faults.CopyFrom(uint32(fault.max_active))
    return message


def _fraction(percent: float) -> percent_v3.FractionalPercent:
    return percent_v3.FractionalPercent(
        numerator=round(percent * _MILLION / 100), denominator=percent_v3.FractionalPercent.MILLION
    )


class FaultInjection:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.FAULT_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off and without faults."""
        del gateway
        config = any_of(fault_v3.HTTPFault())
        return hcm_v3.HttpFilter(name=self.name, disabled=True, typed_config=config)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Bring the faults, and so switch the filter on."""
        fault = route.policy(Fault)
        if fault is not None:
            message.typed_per_filter_config[self.name].CopyFrom(any_of(build_fault(fault)))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()
