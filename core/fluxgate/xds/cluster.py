"""Clusters: one upstream pool each, with endpoints by EDS or by DNS."""

from __future__ import annotations

from envoy.config.cluster.v3 import circuit_breaker_pb2 as circuit_breaker_v3
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.cluster.v3 import outlier_detection_pb2 as outlier_detection_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3
from envoy.config.core.v3 import protocol_pb2 as protocol_v3
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as upstream_http_v3
from envoy.type.v3 import http_pb2 as http_v3

from fluxgate.ir import ActiveCheck, Cluster, LoadBalancer, OutlierDetection, Thresholds
from fluxgate.xds.endpoint import build_load_assignment
from fluxgate.xds.proto import ads, any_of, duration, uint32
from fluxgate.xds.tls import upstream_transport_socket

_HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STREAM_WINDOW = 256 * 1024
_CONNECTION_WINDOW = 1024 * 1024
_MIN_RING_SIZE = 1024
_DNS_REFRESH_MS = 5_000


def build_cluster(cluster: Cluster, *, ca_bundle: str) -> cluster_v3.Cluster:
    """The ``envoy.config.cluster.v3.Cluster`` of ``cluster``.

    ``ca_bundle`` is the file, where Envoy runs, with the system's trusted certificates;
    it verifies upstreams that bring no CA of their own.
    """
    message = cluster_v3.Cluster(
        name=cluster.name,
        connect_timeout=duration(cluster.connect_timeout_ms),
        # without it an endpoint that was removed stays until a health check fails
        ignore_health_on_host_removal=True,
    )
    message.typed_extension_protocol_options[_HTTP_PROTOCOL_OPTIONS].CopyFrom(
        any_of(_protocol_options(cluster.protocol))
    )
    _discover_endpoints(cluster, message)
    _balance(cluster.load_balancer, message)
    if cluster.active_check:
        message.health_checks.append(_health_check(cluster.active_check, cluster.protocol))
    if cluster.outlier_detection:
        message.outlier_detection.CopyFrom(_outlier_detection(cluster.outlier_detection))
    if cluster.panic_threshold is not None:
        message.common_lb_config.healthy_panic_threshold.value = cluster.panic_threshold
    if cluster.thresholds:
        message.circuit_breakers.thresholds.append(_thresholds(cluster.thresholds))
    if cluster.tls:
        socket = upstream_transport_socket(cluster.tls, cluster.protocol, ca_bundle=ca_bundle)
        message.transport_socket.CopyFrom(socket)
    return message


def _protocol_options(protocol: str) -> upstream_http_v3.HttpProtocolOptions:
    options = upstream_http_v3.HttpProtocolOptions()
    if protocol == "HTTP1":
        options.explicit_http_config.http_protocol_options.SetInParent()
    else:
        options.explicit_http_config.http2_protocol_options.CopyFrom(
            protocol_v3.Http2ProtocolOptions(
                initial_stream_window_size=uint32(_STREAM_WINDOW),
                initial_connection_window_size=uint32(_CONNECTION_WINDOW),
            )
        )
    return options


def _discover_endpoints(cluster: Cluster, message: cluster_v3.Cluster) -> None:
    if not cluster.dns:
        message.type = cluster_v3.Cluster.EDS
        message.eds_cluster_config.service_name = cluster.eds_name
        message.eds_cluster_config.eds_config.CopyFrom(ads())
        return
    message.type = cluster_v3.Cluster.STRICT_DNS
    message.dns_lookup_family = cluster_v3.Cluster.V4_PREFERRED
    message.respect_dns_ttl = True
    message.dns_refresh_rate.CopyFrom(duration(_DNS_REFRESH_MS))
    message.load_assignment.CopyFrom(build_load_assignment(cluster.name, cluster.endpoints))


def _balance(balancer: LoadBalancer, message: cluster_v3.Cluster) -> None:
    slow_start = None
    if balancer.slow_start_ms:
        slow_start = cluster_v3.Cluster.SlowStartConfig(
            slow_start_window=duration(balancer.slow_start_ms)
        )
    match balancer.policy:
        case "RoundRobin":
            message.lb_policy = cluster_v3.Cluster.ROUND_ROBIN
            if slow_start:
                message.round_robin_lb_config.slow_start_config.CopyFrom(slow_start)
        case "LeastRequest":
            message.lb_policy = cluster_v3.Cluster.LEAST_REQUEST
            if slow_start:
                message.least_request_lb_config.slow_start_config.CopyFrom(slow_start)
        case "Random":
            message.lb_policy = cluster_v3.Cluster.RANDOM
        case "RingHash":
            message.lb_policy = cluster_v3.Cluster.RING_HASH
            message.ring_hash_lb_config.minimum_ring_size.value = _MIN_RING_SIZE
        case "Maglev":
            message.lb_policy = cluster_v3.Cluster.MAGLEV
        case unknown:
            raise ValueError(f"{unknown!r} is not a load-balancing policy")


def _health_check(check: ActiveCheck, protocol: str) -> health_check_v3.HealthCheck:
    message = health_check_v3.HealthCheck(
        timeout=duration(check.timeout_ms),
        interval=duration(check.interval_ms),
        healthy_threshold=uint32(check.healthy_threshold),
        unhealthy_threshold=uint32(check.unhealthy_threshold),
    )
    match check.type:
        case "HTTP":
            http = message.http_health_check
            http.path = check.path
            http.host = check.host
            for status in check.expected_statuses:
                http.expected_statuses.add(start=status, end=status + 1)
            if protocol != "HTTP1":
                http.codec_client_type = http_v3.HTTP2
        case "TCP":
            message.tcp_health_check.SetInParent()
        case "GRPC":
            message.grpc_health_check.service_name = check.service
            message.grpc_health_check.authority = check.host
        case unknown:
            raise ValueError(f"{unknown!r} is not a kind of health check")
    return message


def _outlier_detection(passive: OutlierDetection) -> outlier_detection_v3.OutlierDetection:
    return outlier_detection_v3.OutlierDetection(
        consecutive_5xx=uint32(passive.consecutive_5xx),
        interval=duration(passive.interval_ms),
        base_ejection_time=duration(passive.base_ejection_ms),
        max_ejection_percent=uint32(passive.max_ejection_percent),
        # Envoy's statistical ejection is on by default; nobody asked for it here
        enforcing_success_rate=uint32(0),
    )


def _thresholds(thresholds: Thresholds) -> circuit_breaker_v3.CircuitBreakers.Thresholds:
    message = circuit_breaker_v3.CircuitBreakers.Thresholds()
    for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries"):
        value = getattr(thresholds, name)
        if value is not None:
            getattr(message, name).value = value
    return message
