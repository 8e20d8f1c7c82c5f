"""Health checks of a pool's targets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import AbsolutePath, Duration, Model, Name, Port
from fluxgate.api.v1alpha1.rules import Rule

Threshold = Annotated[int, Field(ge=1, le=100)]
Payload = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class ActiveHealthCheck(Model):
    """The gateway asks every target at an interval."""

    type: Literal["HTTP", "TCP", "GRPC"] = "HTTP"
    path: AbsolutePath = "/"
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    host: Name | None = Field(
        default=None, description="The Host header; a target's own host when not set."
    )
    service: Name | None = Field(default=None, description="The service name of a gRPC check.")
    send: Payload | None = Field(
        default=None, description="What a TCP check sends; without it a connection is enough."
    )
    receive: Payload | None = Field(
        default=None, description="What a TCP check has to find in the answer."
    )
    port: Port | None = Field(
        default=None, description="The port that is asked; a target's own when not set."
    )
    interval: Duration = "10s"
    unhealthy_interval: Duration | None = Field(
        default=None, description="The interval while a target is unhealthy."
    )
    timeout: Duration = "2s"
    healthy_threshold: Threshold = 2
    unhealthy_threshold: Threshold = 3
    expected_statuses: Annotated[
        tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1, max_length=32)
    ] = (200,)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "service",
            "only a GRPC check names a service",
            "!has(self.service) || self.type == 'GRPC'",
            lambda self: self.service is None or self.type == "GRPC",
        ),
        Rule(
            "send",
            "only a TCP check sends and receives text",
            "(!has(self.send) && !has(self.receive)) || self.type == 'TCP'",
            lambda self: (self.send is None and self.receive is None) or self.type == "TCP",
        ),
        Rule(
            "host",
            "a TCP check has no host",
            "!has(self.host) || self.type != 'TCP'",
            lambda self: self.host is None or self.type != "TCP",
        ),
    )


class FailurePercentage(Model):
    """Targets that fail this share of their requests in an interval are ejected."""

    threshold: Annotated[int, Field(ge=1, le=100)] = 85
    minimum_requests: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=50, description="Targets with fewer requests in the interval are not judged."
    )
    minimum_targets: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="With fewer targets that can be judged, none is ejected."
    )


class PassiveHealthCheck(Model):
    """A target that keeps failing real requests is ejected for a while (outlier detection)."""

    consecutive_5xx: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, alias="consecutive5xx")
    consecutive_gateway_errors: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="So many of 502, 503 and 504, or broken connections, in a row."
    )
    consecutive_connect_failures: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="So many failures of the gateway's own in a row: connections refused, reset or "
        "timed out. They then count apart from answers.",
    )
    failure_percentage: FailurePercentage | None = None
    interval: Duration = "10s"
    base_ejection_time: Duration = Field(
        default="30s", description="Of the first ejection; it grows with every further one."
    )
    max_ejection_time: Duration | None = Field(
        default=None, description="What it grows to at most; 300s when not set."
    )
    max_ejection_percent: Annotated[int, Field(ge=0, le=100)] = 50


class HealthChecks(Model):
    """Active and passive health checks of a pool."""

    active: ActiveHealthCheck | None = None
    passive: PassiveHealthCheck | None = None
    panic_threshold: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Below this percentage of healthy targets, all of them are used."
    )
