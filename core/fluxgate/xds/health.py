"""Health checks of a cluster: active ones, and the ejection of outliers."""

from __future__ import annotations

from envoy.config.cluster.v3 import outlier_detection_pb2 as outlier_detection_v3
from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3
from envoy.type.v3 import http_pb2 as http_v3

from fluxgate.ir import ActiveCheck, OutlierDetection
from fluxgate.xds.proto import duration, uint32

_METHODS = {
    "GET": base_v3.GET,
    "HEAD": base_v3.HEAD,
    "POST": base_v3.POST,
    "OPTIONS": base_v3.OPTIONS,
}


_INTERVAL_JITTER_PERCENT = 10
_AT_ONCE = 1_000
_CHECKS_PER_MS = 4
_STEP = 4
_TLS_COSTS = 2


def first_checks_within_ms(targets: int) -> int:
    """Over how long an Envoy that checks ``targets`` in all spreads the first checks of a pool.

    0 up to a thousand: a pool serves when its targets have been asked once, and few can be asked
    at once. Beyond that four checks a millisecond, which Envoy's main thread can send, so that
    no more of them are open together than targets take to answer (docs/decisions/0024). In steps
    of a factor of four, because every pool with checks is made anew when one is crossed. Checks
    over TLS, which begin with a whole handshake, take twice as long.
    """
    step = _AT_ONCE
    while step < targets:
        step *= _STEP
    return 0 if step == _AT_ONCE else step // _CHECKS_PER_MS


def build_health_check(
    check: ActiveCheck, protocol: str, *, tls: bool, first_within_ms: int
) -> health_check_v3.HealthCheck:
    """``envoy.config.core.v3.HealthCheck``. Raises ``ValueError`` for an unknown type.

    ``first_within_ms`` is what :func:`first_checks_within_ms` says of all pools together.
    """
    message = health_check_v3.HealthCheck(
        # what began together, as everything does when Envoy starts, must not stay together
        interval_jitter_percent=_INTERVAL_JITTER_PERCENT,
        timeout=duration(check.timeout_ms),
        interval=duration(check.interval_ms),
        # Envoy asks pools that had no traffic once a minute only
        no_traffic_interval=duration(check.interval_ms),
        healthy_threshold=uint32(check.healthy_threshold),
        unhealthy_threshold=uint32(check.unhealthy_threshold),
    )
    # one kept for every target is a descriptor each, and proves less
    message.reuse_connection.value = False
    if first_within_ms:
        spread = first_within_ms * _TLS_COSTS if tls else first_within_ms
        message.initial_jitter.CopyFrom(duration(spread))
    if check.unhealthy_interval_ms:
        message.unhealthy_interval.CopyFrom(duration(check.unhealthy_interval_ms))
    match check.type:
        case "HTTP":
            _set_http(message.http_health_check, check, protocol)
        case "TCP":
            message.tcp_health_check.SetInParent()
            if check.send:
                message.tcp_health_check.send.text = check.send.encode().hex()
            if check.receive:
                message.tcp_health_check.receive.add(text=check.receive.encode().hex())
        case "GRPC":
            message.grpc_health_check.service_name = check.service
            message.grpc_health_check.authority = check.host
        case unknown:
            raise ValueError(f"{unknown!r} is not a kind of health check")
    return message


def _set_http(
    http: health_check_v3.HealthCheck.HttpHealthCheck, check: ActiveCheck, protocol: str
) -> None:
    http.path = check.path
    http.host = check.host
    if check.method != "GET":
        http.method = _METHODS[check.method]
    for status in check.expected_statuses:
        http.expected_statuses.add(start=status, end=status + 1)
    # any other status would take the target out at once, whatever the threshold says
    http.retriable_statuses.add(start=100, end=600)
    if protocol in ("HTTP2", "GRPC"):
        http.codec_client_type = http_v3.HTTP2


def build_outlier_detection(
    passive: OutlierDetection,
) -> outlier_detection_v3.OutlierDetection:
    """``envoy.config.cluster.v3.OutlierDetection``; causes nobody asked for are switched off."""
    message = outlier_detection_v3.OutlierDetection(
        consecutive_5xx=uint32(passive.consecutive_5xx),
        interval=duration(passive.interval_ms),
        base_ejection_time=duration(passive.base_ejection_ms),
        max_ejection_percent=uint32(passive.max_ejection_percent),
        # Envoy's statistical ejection is on by default; nobody asked for it here
        enforcing_success_rate=uint32(0),
    )
    if passive.consecutive_gateway_errors:
        message.consecutive_gateway_failure.value = passive.consecutive_gateway_errors
        message.enforcing_consecutive_gateway_failure.value = 100
    if passive.consecutive_connect_failures:
        message.split_external_local_origin_errors = True
        message.consecutive_local_origin_failure.value = passive.consecutive_connect_failures
        message.enforcing_local_origin_success_rate.value = 0
    if (share := passive.failure_share) is not None:
        message.failure_percentage_threshold.value = share.threshold
        message.failure_percentage_request_volume.value = share.minimum_requests
        message.failure_percentage_minimum_hosts.value = share.minimum_hosts
        message.enforcing_failure_percentage.value = 100
    if passive.max_ejection_ms:
        message.max_ejection_time.CopyFrom(duration(passive.max_ejection_ms))
    return message
