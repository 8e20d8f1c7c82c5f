"""What a fleet says about the requests it carries: logs and traces."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import AbsolutePath, HttpUrl, Line, Model, Name, Percent

ResourceAttributes = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=128)], Line],
    Field(max_length=32),
]
"""OpenTelemetry resource attributes, for example ``deployment.environment.name: staging``."""

_COLLECTOR = "The collector, for example http://otel-collector.example.com:4317."


class AccessLog(Model):
    """The JSON access log, one line a request."""

    enabled: bool = True
    path: AbsolutePath = "/dev/stdout"


class LogExport(Model):
    """The access log as OTLP log records, over gRPC, beside the one that is written."""

    endpoint: HttpUrl = Field(description=_COLLECTOR)
    service_name: Name = "fluxgate"
    resource_attributes: ResourceAttributes = Field(default_factory=dict)


class Logging(Model):
    """What the fleet logs."""

    access_log: AccessLog = AccessLog()
    open_telemetry: LogExport | None = None
    level: Literal["trace", "debug", "info", "warning", "error"] = "info"


class Tracing(Model):
    """OpenTelemetry spans to a collector, over OTLP; trace context as in W3C's traceparent."""

    endpoint: HttpUrl = Field(description=_COLLECTOR)
    protocol: Literal["GRPC", "HTTP"] = Field(
        default="GRPC", description="HTTP posts protobuf to /v1/traces of the endpoint."
    )
    sampling_percent: Percent = Field(default=100, description="Of the traces that begin here.")
    parent: Literal["Follow", "Ignore"] = Field(
        default="Follow",
        description="Follow records a request whose traceparent says that its caller does, and "
        "only then. With Ignore samplingPercent alone decides, so clients cannot ask for spans.",
    )
    service_name: Name = "fluxgate"
    resource_attributes: ResourceAttributes = Field(default_factory=dict)
