"""The access log: one JSON object a request, and never a credential in it."""

from __future__ import annotations

from typing import Any

from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_v3
from envoy.config.core.v3 import config_source_pb2 as config_source_v3
from envoy.config.core.v3 import substitution_format_string_pb2 as format_v3
from envoy.extensions.access_loggers.file.v3 import file_pb2 as file_v3
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
    "authentication": story.AUTHENTICATION,
    "rate_limit": story.RATE_LIMIT,
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


def build_access_log(gateway: Gateway) -> tuple[accesslog_v3.AccessLog, ...]:
    """The access loggers of a connection manager: for a file or standard output, and for OTLP."""
    loggers = []
    if gateway.access_log.path:
        loggers.append(_written(gateway.access_log.path))
    if gateway.log_export is not None:
        loggers.append(_exported(gateway.log_export))
    return tuple(loggers)


def _written(path: str) -> accesslog_v3.AccessLog:
    """The JSON log.

    Standard output is written through Envoy's own stream logger: opening ``/dev/stdout``
    as a file fails where the process has changed its user.
    """
    log_format = format_v3.SubstitutionFormatString()
    log_format.json_format.update(FIELDS)
    if path == "/dev/stdout":
        stream = stream_v3.StdoutAccessLog(log_format=log_format)
        return accesslog_v3.AccessLog(
            name="envoy.access_loggers.stdout", typed_config=any_of(stream)
        )
    file = file_v3.FileAccessLog(path=path, log_format=log_format)
    return accesslog_v3.AccessLog(name="envoy.access_loggers.file", typed_config=any_of(file))


def _exported(export: LogExportIR) -> accesslog_v3.AccessLog:
    """The same fields as attributes of OTLP log records, which carry the trace's and span's ids."""
    config = otlp_log_v3.OpenTelemetryAccessLogConfig(disable_builtin_labels=True)
    config.common_config.log_name = export.service_name
    config.common_config.transport_api_version = config_source_v3.V3
    config.common_config.grpc_service.CopyFrom(grpc_service(export.collector))
    config.body.string_value = f"%REQ(:METHOD)% {story.PATH} %RESPONSE_CODE%"
    # the record has a time and a trace of its own
    for name, operator in FIELDS.items():
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
