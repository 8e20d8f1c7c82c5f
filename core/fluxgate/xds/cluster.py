"""Clusters: one upstream pool each, with endpoints by EDS or by DNS."""

from __future__ import annotations

from envoy.config.cluster.v3 import circuit_breaker_pb2 as circuit_breaker_v3
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import protocol_pb2 as protocol_v3
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as upstream_http_v3

from fluxgate.ir import Cluster, Connections, Keepalive, Thresholds
from fluxgate.xds.balancer import set_balancer
from fluxgate.xds.endpoint import build_load_assignment
from fluxgate.xds.health import build_health_check, build_outlier_detection
from fluxgate.xds.proto import ads, any_of, duration, uint32
from fluxgate.xds.tls import upstream_transport_socket

_HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_STREAM_WINDOW = 256 * 1024
_CONNECTION_WINDOW = 1024 * 1024
_FAMILIES = {
    "V4Preferred": cluster_v3.Cluster.V4_PREFERRED,
    "V6Preferred": cluster_v3.Cluster.AUTO,
    "V4Only": cluster_v3.Cluster.V4_ONLY,
    "V6Only": cluster_v3.Cluster.V6_ONLY,
    "All": cluster_v3.Cluster.ALL,
}


def build_cluster(
    cluster: Cluster, *, ca_bundle: str, first_checks_within_ms: int
) -> cluster_v3.Cluster:
    """The ``envoy.config.cluster.v3.Cluster`` of ``cluster``.

    ``ca_bundle`` is the file, where Envoy runs, with the system's trusted certificates;
    it verifies upstreams that bring no CA of their own. ``first_checks_within_ms`` is what
    :func:`fluxgate.xds.health.first_checks_within_ms` says of all clusters.
    """
    message = cluster_v3.Cluster(
        name=cluster.name,
        # in the names of statistics a dot ends what Prometheus gets as the label of the cluster
        alt_stat_name=cluster.name.replace(".", "_") if "." in cluster.name else "",
        connect_timeout=duration(cluster.connect_timeout_ms),
        # without it an endpoint that was removed stays until a health check fails
        ignore_health_on_host_removal=True,
    )
    message.typed_extension_protocol_options[_HTTP_PROTOCOL_OPTIONS].CopyFrom(
        any_of(_protocol_options(cluster))
    )
    _discover_endpoints(cluster, message)
    set_balancer(cluster.load_balancer, message)
    if cluster.active_check:
        check = build_health_check(
            cluster.active_check,
            cluster.protocol,
            tls=cluster.tls is not None,
            first_within_ms=first_checks_within_ms,
        )
        message.health_checks.append(check)
    if cluster.outlier_detection:
        message.outlier_detection.CopyFrom(build_outlier_detection(cluster.outlier_detection))
    if cluster.panic_threshold is not None:
        message.common_lb_config.healthy_panic_threshold.value = cluster.panic_threshold
    if cluster.thresholds:
        _set_thresholds(cluster.thresholds, message.circuit_breakers)
    if cluster.connections and cluster.connections.keepalive:
        _set_keepalive(cluster.connections.keepalive, message)
    if cluster.tls:
        socket = upstream_transport_socket(cluster.tls, cluster.protocol, ca_bundle=ca_bundle)
        message.transport_socket.CopyFrom(socket)
    return message


def _protocol_options(cluster: Cluster) -> upstream_http_v3.HttpProtocolOptions:
    options = upstream_http_v3.HttpProtocolOptions()
    http2 = protocol_v3.Http2ProtocolOptions(
        initial_stream_window_size=uint32(_STREAM_WINDOW),
        initial_connection_window_size=uint32(_CONNECTION_WINDOW),
    )
    if cluster.protocol in ("HTTP2", "GRPC"):
        options.explicit_http_config.http2_protocol_options.CopyFrom(http2)
    elif cluster.protocol == "Auto" and cluster.tls:
        options.auto_config.http_protocol_options.SetInParent()
        options.auto_config.http2_protocol_options.CopyFrom(http2)
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    if cluster.connections:
        _set_lifetime(cluster.connections, options.common_http_protocol_options)
    return options


def _set_lifetime(connections: Connections, options: protocol_v3.HttpProtocolOptions) -> None:
    if connections.idle_timeout_ms:
        options.idle_timeout.CopyFrom(duration(connections.idle_timeout_ms))
    if connections.max_duration_ms:
        options.max_connection_duration.CopyFrom(duration(connections.max_duration_ms))
    if connections.max_requests:
        options.max_requests_per_connection.value = connections.max_requests


def _set_keepalive(keepalive: Keepalive, message: cluster_v3.Cluster) -> None:
    probes = message.upstream_connection_options.tcp_keepalive
    probes.SetInParent()
    if keepalive.idle_s:
        probes.keepalive_time.value = keepalive.idle_s
    if keepalive.interval_s:
        probes.keepalive_interval.value = keepalive.interval_s
    if keepalive.probes:
        probes.keepalive_probes.value = keepalive.probes


def _discover_endpoints(cluster: Cluster, message: cluster_v3.Cluster) -> None:
    if not cluster.dns:
        message.type = cluster_v3.Cluster.EDS
        message.eds_cluster_config.service_name = cluster.eds_name
        message.eds_cluster_config.eds_config.CopyFrom(ads())
        return
    dns = cluster.resolution
    logical = dns.logical
    message.type = cluster_v3.Cluster.LOGICAL_DNS if logical else cluster_v3.Cluster.STRICT_DNS
    message.dns_lookup_family = _FAMILIES[dns.family]
    message.respect_dns_ttl = dns.respect_ttl
    message.dns_refresh_rate.CopyFrom(duration(dns.refresh_ms))
    message.load_assignment.CopyFrom(
        build_load_assignment(cluster.name, cluster.endpoints, check=cluster.active_check)
    )


def _set_thresholds(thresholds: Thresholds, breakers: circuit_breaker_v3.CircuitBreakers) -> None:
    message = breakers.thresholds.add()
    for name in ("max_connections", "max_pending_requests", "max_requests", "max_retries"):
        value = getattr(thresholds, name)
        if value is not None:
            getattr(message, name).value = value
    if (budget := thresholds.retry_budget) is not None:
        message.retry_budget.budget_percent.value = budget.percent
        message.retry_budget.min_retry_concurrency.value = budget.minimum
    if thresholds.max_connections_per_host is not None:
        each = breakers.per_host_thresholds.add()
        each.max_connections.value = thresholds.max_connections_per_host
