"""ClusterLoadAssignments: the addresses behind a cluster, by EDS or in the cluster itself."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3
from envoy.config.endpoint.v3 import endpoint_components_pb2 as endpoint_components_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3

from fluxgate.ir import EndpointIR, Health
from fluxgate.xds.proto import uint32


def build_load_assignment(
    name: str, endpoints: Iterable[EndpointIR], *, weighted: bool = False
) -> endpoint_v3.ClusterLoadAssignment:
    """The load assignment ``name``: usable endpoints, grouped by zone, in a stable order.

    An endpoint taken out by hand or of weight 0 is left out rather than marked, because
    Envoy in panic mode sends requests to endpoints that are merely marked. ``weighted`` gives
    each zone the sum of its endpoints' weights: gRPC leaves out zones without a name or weight.
    """
    assignment = endpoint_v3.ClusterLoadAssignment(cluster_name=name)
    usable = [each for each in endpoints if each.health is not Health.UNHEALTHY and each.weight > 0]
    zones: dict[str, endpoint_components_v3.LocalityLbEndpoints] = {}
    for each in sorted(usable, key=lambda each: (each.zone, each.host, each.port)):
        if each.zone not in zones:
            named = each.zone or weighted
            locality = base_v3.Locality(zone=each.zone) if named else None
            zones[each.zone] = assignment.endpoints.add(locality=locality)
        zones[each.zone].lb_endpoints.append(_lb_endpoint(each))
        if weighted:
            zones[each.zone].load_balancing_weight.value += each.weight
    return assignment


def _lb_endpoint(each: EndpointIR) -> endpoint_components_v3.LbEndpoint:
    message = endpoint_components_v3.LbEndpoint(load_balancing_weight=uint32(each.weight))
    message.endpoint.hostname = each.host
    message.endpoint.address.socket_address.address = each.host
    message.endpoint.address.socket_address.port_value = each.port
    if each.health is Health.HEALTHY:
        message.health_status = health_check_v3.HEALTHY
        message.endpoint.health_check_config.disable_active_health_check = True
    return message
