"""Upstream: a pool of targets and how requests are spread over them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.backend import Protocol
from fluxgate.api.v1alpha1.base import (
    AbsolutePath,
    Duration,
    Model,
    Name,
    ObjectName,
    Port,
    PrinterColumn,
    Resource,
    Text,
    Weight,
)
from fluxgate.api.v1alpha1.policy import BackendTLS, CircuitBreaker
from fluxgate.api.v1alpha1.rules import Rule, unique_by

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Where the application beside a sidecar is."""


class Target(Model):
    """One address of a pool. ``health`` overrides what health checks find."""

    host: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$", min_length=1, max_length=253)
    ] = Field(description="An IPv4 or IPv6 address, or a DNS name.")
    port: Port
    weight: Weight = 1
    health: Literal["Auto", "Healthy", "Unhealthy"] = "Auto"
    zone: Name | None = None


class HashOn(Model):
    """What a consistent hash, and so stickiness, is computed from."""

    type: Literal["Header", "Cookie", "SourceIP"]
    name: (
        Annotated[
            str,
            StringConstraints(
                pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", min_length=1, max_length=256
            ),
        ]
        | None
    ) = None
    cookie_ttl: Duration | None = Field(
        default=None, description="The gateway sets the cookie itself when it is missing."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "Header and Cookie need a name, SourceIP has none",
            "(self.type == 'SourceIP') != has(self.name)",
            lambda self: (self.type == "SourceIP") != (self.name is not None),
        ),
        Rule(
            "cookieTtl",
            "only a Cookie has a lifetime",
            "!has(self.cookieTtl) || self.type == 'Cookie'",
            lambda self: self.cookie_ttl is None or self.type == "Cookie",
        ),
    )


class SlowStart(Model):
    """A new target's share grows over this window."""

    window: Duration


class LoadBalancing(Model):
    """How a target is chosen."""

    policy: Literal["RoundRobin", "LeastRequest", "Random", "RingHash", "Maglev"] = "RoundRobin"
    hash_on: HashOn | None = None
    slow_start: SlowStart | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "hashOn",
            "hashOn needs the policy RingHash or Maglev",
            "!has(self.hashOn) || self.policy in ['RingHash', 'Maglev']",
            lambda self: self.hash_on is None or self.policy in ("RingHash", "Maglev"),
        ),
        Rule(
            "slowStart",
            "slowStart needs the policy RoundRobin or LeastRequest",
            "!has(self.slowStart) || self.policy in ['RoundRobin', 'LeastRequest']",
            lambda self: self.slow_start is None or self.policy in ("RoundRobin", "LeastRequest"),
        ),
    )


class ActiveHealthCheck(Model):
    """The gateway asks every target at an interval."""

    type: Literal["HTTP", "TCP", "GRPC"] = "HTTP"
    path: AbsolutePath = "/"
    host: Name | None = None
    service: Name | None = Field(default=None, description="The service name of a gRPC check.")
    interval: Duration = "10s"
    timeout: Duration = "2s"
    healthy_threshold: Annotated[int, Field(ge=1, le=100)] = 2
    unhealthy_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    expected_statuses: Annotated[
        tuple[Annotated[int, Field(ge=100, le=599)], ...], Field(min_length=1, max_length=32)
    ] = (200,)


class PassiveHealthCheck(Model):
    """A target that keeps failing real requests is ejected for a while (outlier detection)."""

    consecutive_5xx: Annotated[int, Field(ge=1, le=1000)] = Field(default=5, alias="consecutive5xx")
    interval: Duration = "10s"
    base_ejection_time: Duration = "30s"
    max_ejection_percent: Annotated[int, Field(ge=0, le=100)] = 50


class HealthChecks(Model):
    """Active and passive health checks of a pool."""

    active: ActiveHealthCheck | None = None
    passive: PassiveHealthCheck | None = None
    panic_threshold: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Below this percentage of healthy targets, all of them are used."
    )


class UpstreamSpec(Model):
    """The specification of an Upstream."""

    type: Literal["Static", "Sidecar"] = Field(
        default="Static",
        description="Sidecar: the application in the pod of an Envoy that runs as its sidecar; "
        "targets are ports of the pod's loopback, and only GatewayConfigs of mode Sidecar reach it.",
    )
    targets: Annotated[tuple[Target, ...], Field(max_length=1000)] = ()
    protocol: Protocol = "HTTP1"
    load_balancing: LoadBalancing = LoadBalancing()
    health_checks: HealthChecks | None = None
    circuit_breaker: CircuitBreaker | None = None
    connect_timeout: Duration = "5s"
    tls: BackendTLS | None = None
    tenant: ObjectName | None = None
    description: Text = ""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "targets",
            "a target of type Sidecar is on 127.0.0.1, ::1 or localhost",
            "self.type == 'Static' || !has(self.targets) || "
            "self.targets.all(t, t.host in ['127.0.0.1', '::1', 'localhost'])",
            lambda self: (
                self.type == "Static" or all(each.host in LOOPBACK for each in self.targets)
            ),
        ),
        unique_by("targets", "two targets have the same host and port", "host", "port"),
    )


class Upstream(Resource):
    """A pool of targets."""

    plural: ClassVar[str] = "upstreams"
    short_names: ClassVar[tuple[str, ...]] = ("fgu",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Policy", ".spec.loadBalancing.policy"),
        PrinterColumn("Targets", ".spec.targets[*].host"),
    )
    kind: Literal["Upstream"] = "Upstream"
    spec: UpstreamSpec
