"""The access log: one JSON object a request, and never a credential in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_v3
from envoy.config.core.v3 import config_source_pb2 as config_source_v3
from envoy.config.core.v3 import substitution_format_string_pb2 as format_v3
from envoy.extensions.access_loggers.file.v3 import file_pb2 as file_v3
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2 as cel_v3
from envoy.extensions.access_loggers.open_telemetry.v3 import logs_service_pb2 as otlp_log_v3
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as stream_v3

from fluxgate.ir import Gateway, LogExportIR
from fluxgate.xds import names, story
from fluxgate.xds.otlp import grpc_service
from fluxgate.xds.proto import any_of

FIELDS: dict[str, str] = {
    "time": "%START_TIME%",
    # a request refused before it got an id has the one of its answer
    "request_id": '%COALESCE({"operators":[{"command":"REQ","param":"X-REQUEST-ID"},'
    '{"command":"RESP","param":"X-REQUEST-ID"}]})%',
    "trace_id": "%TRACE_ID%",
    "method": "%REQ(:METHOD)%",
    "path": story.PATH,
    "host": "%REQ(:AUTHORITY)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "duration_ms": "%DURATION%",
    "request_duration_ms": "%REQUEST_DURATION%",
    "response_duration_ms": "%RESPONSE_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "route": story.ROUTE,
    "upstream_cluster": "%UPSTREAM_CLUSTER%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "user_agent": "%REQ(USER-AGENT)%",
    # an object of key_id, tenant and plan: three fields of their own cost 0.3 µs more. Not the
    # identity headers, which are still the client's where a request is refused before its route
    "caller": f"%DYNAMIC_METADATA({names.AUTH_METADATA})%",
}
"""Every field of a log line and Envoy's command operator that fills it; null when it has none."""


REFUSED_FOR = "refused_for"
"""One field more: null, or what the gateway refused the request for (:data:`story.REFUSALS`)."""

_FIRST_REFUSAL = 400


def build_access_log(gateway: Gateway) -> tuple[accesslog_v3.AccessLog, ...]:
    """The access loggers of a connection manager: for a file or standard output, and for OTLP."""
    loggers: list[accesslog_v3.AccessLog] = []
    if gateway.access_log.path:
        loggers.extend(_written(gateway.access_log.path))
    if gateway.log_export is not None:
        loggers.append(_exported(gateway.log_export))
    return tuple(loggers)


def _written(path: str) -> Iterator[accesslog_v3.AccessLog]:
    """The JSON log: one logger for what passed, and one for each kind of refusal.

    An expression that says of every request why it was refused would cost 1 to 2 µs, a tenth of
    what some requests cost in all (``python -m bench.parts``). So expressions only choose between
    loggers, and only for statuses from 400.
    """
    refused = [_expression(each) for each in story.REFUSALS.values()]
    neither = _expression(" && ".join(f"!({each})" for each in story.REFUSALS.values()))
    passed = accesslog_v3.AccessLogFilter()
    passed.or_filter.filters.extend(
        (_status(accesslog_v3.ComparisonFilter.LE, _FIRST_REFUSAL - 1), _failed_and(neither))
    )
    yield _logger(path, None, passed)
    for reason, condition in zip(story.REFUSALS, refused, strict=True):
        yield _logger(path, reason, _failed_and(condition))


def _logger(
    path: str, refused_for: str | None, condition: accesslog_v3.AccessLogFilter
) -> accesslog_v3.AccessLog:
    """Standard output is written through Envoy's own stream logger.

    Opening ``/dev/stdout`` as a file fails where the process has changed its user.
    """
    log_format = format_v3.SubstitutionFormatString()
    log_format.json_format.update(FIELDS | {REFUSED_FOR: refused_for})
    to_stdout = path == "/dev/stdout"
    config = (
        stream_v3.StdoutAccessLog(log_format=log_format)
        if to_stdout
        else file_v3.FileAccessLog(path=path, log_format=log_format)
    )
    name = "envoy.access_loggers.stdout" if to_stdout else "envoy.access_loggers.file"
    return accesslog_v3.AccessLog(name=name, typed_config=any_of(config), filter=condition)


def _failed_and(condition: accesslog_v3.AccessLogFilter) -> accesslog_v3.AccessLogFilter:
    both = accesslog_v3.AccessLogFilter()
    at_least = _status(accesslog_v3.ComparisonFilter.GE, _FIRST_REFUSAL)
    both.and_filter.filters.extend((at_least, condition))
    return both


def _status(op: int, status: int) -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.status_code_filter.comparison.op = op
    condition.status_code_filter.comparison.value.default_value = status
    # the key under which an operator could override the value at run time; required by Envoy
    condition.status_code_filter.comparison.value.runtime_key = f"fluxgate.access_log.{status}"
    return condition


def _expression(text: str) -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    condition.extension_filter.typed_config.CopyFrom(
        any_of(cel_v3.ExpressionFilter(expression=text))
    )
    return condition


def _exported(export: LogExportIR) -> accesslog_v3.AccessLog:
    """The same fields as attributes of OTLP log records, which carry the trace's and span's ids."""
    config = otlp_log_v3.OpenTelemetryAccessLogConfig(disable_builtin_labels=True)
    config.common_config.log_name = export.service_name
    config.common_config.transport_api_version = config_source_v3.V3
    config.common_config.grpc_service.CopyFrom(grpc_service(export.collector))
    config.body.string_value = f"%REQ(:METHOD)% {story.PATH} %RESPONSE_CODE%"
    # the record has a time and a trace of its own
    told = FIELDS | {"authentication": story.AUTHENTICATION, "rate_limit": story.RATE_LIMIT}
    for name, operator in told.items():
        if name not in ("time", "trace_id"):
            _add(config.attributes, name, operator)
    for name, value in {**dict(export.resource), "service.name": export.service_name}.items():
        _add(config.resource_attributes, name, value)
    return accesslog_v3.AccessLog(
        name="envoy.access_loggers.open_telemetry", typed_config=any_of(config)
    )


def _add(attributes: Any, name: str, value: str) -> None:  # noqa: ANN401 - no stubs
    """One more pair of an ``opentelemetry.proto.common.v1.KeyValueList``."""
    attribute = attributes.values.add(key=name)
    attribute.value.string_value = value
