"""ClusterLoadAssignments: the addresses behind a cluster, by EDS or in the cluster itself."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3
from envoy.config.endpoint.v3 import endpoint_components_pb2 as endpoint_components_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3

from fluxgate.ir import ActiveCheck, EndpointIR, Health
from fluxgate.xds.proto import uint32


def build_load_assignment(
    name: str,
    endpoints: Iterable[EndpointIR],
    *,
    weighted: bool = False,
    check: ActiveCheck | None = None,
) -> endpoint_v3.ClusterLoadAssignment:
    """The load assignment ``name``: usable endpoints, grouped by zone, in a stable order.

    An endpoint taken out by hand or of weight 0 is left out rather than marked, because
    Envoy in panic mode sends requests to endpoints that are merely marked. ``weighted`` gives
    each zone the sum of its endpoints' weights: gRPC leaves out zones without a name or weight.
    ``check`` is the active health check of the clusters that use them.
    """
    assignment = endpoint_v3.ClusterLoadAssignment(cluster_name=name)
    usable = [each for each in endpoints if each.health is not Health.UNHEALTHY and each.weight > 0]
    # Envoy knows no gap between priorities, and taking targets out could make one
    ranks = {each: rank for rank, each in enumerate(sorted({each.priority for each in usable}))}
    zones: dict[str, endpoint_components_v3.LocalityLbEndpoints] = {}
    for each in sorted(usable, key=lambda each: (each.priority, each.zone, each.host, each.port)):
        if each.zone not in zones:
            named = each.zone or weighted
            locality = base_v3.Locality(zone=each.zone) if named else None
            zones[each.zone] = assignment.endpoints.add(
                locality=locality, priority=ranks[each.priority]
            )
            if each.zone_weight:
                zones[each.zone].load_balancing_weight.value = each.zone_weight
        zones[each.zone].lb_endpoints.append(_lb_endpoint(each, check))
        if weighted and not each.zone_weight:
            zones[each.zone].load_balancing_weight.value += each.weight
    return assignment


def _lb_endpoint(each: EndpointIR, check: ActiveCheck | None) -> endpoint_components_v3.LbEndpoint:
    message = endpoint_components_v3.LbEndpoint(load_balancing_weight=uint32(each.weight))
    if each.socket:
        message.endpoint.address.pipe.path = each.socket
    else:
        message.endpoint.hostname = each.host
        message.endpoint.address.socket_address.address = each.host
        message.endpoint.address.socket_address.port_value = each.port
    if check is not None:
        _set_check(message.endpoint.health_check_config, each, check)
    if each.health is Health.HEALTHY:
        message.health_status = health_check_v3.HEALTHY
        message.endpoint.health_check_config.disable_active_health_check = True
    return message


def _set_check(
    config: endpoint_components_v3.Endpoint.HealthCheckConfig,
    each: EndpointIR,
    check: ActiveCheck,
) -> None:
    if check.port and not each.socket:
        config.port_value = check.port
    if check.type != "TCP" and not check.host:
        # the name of the cluster, which Envoy would say, is no host: nginx answers 400
        config.hostname = "localhost" if each.socket else _authority(each, check.port)


def _authority(each: EndpointIR, port: int) -> str:
    host = f"[{each.host}]" if ":" in each.host else each.host
    return f"{host}:{port or each.port}"
