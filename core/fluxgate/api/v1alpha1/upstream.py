"""Upstream: a pool of targets and how requests are spread over them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.balancing import LoadBalancing, Zone
from fluxgate.api.v1alpha1.base import (
    Duration,
    Model,
    Name,
    ObjectName,
    PrinterColumn,
    Resource,
    Text,
    Weight,
)
from fluxgate.api.v1alpha1.connection import Connection, Dns, Protocol
from fluxgate.api.v1alpha1.health import HealthChecks
from fluxgate.api.v1alpha1.policy import BackendTLS, CircuitBreaker
from fluxgate.api.v1alpha1.rules import Rule, unique_by

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Where the application beside a sidecar is."""

UNIX = "unix://"
"""How the host of a target begins that is a Unix socket where Envoy runs."""


class Target(Model):
    """One address of a pool. ``health`` overrides what health checks find."""

    host: Annotated[
        str,
        StringConstraints(
            # sun_path of unix(7) has 108 bytes
            pattern=r"^([A-Za-z0-9_.:-]+|unix://(/[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*)+)$",
            min_length=1,
            max_length=253,
        ),
    ] = Field(
        description="An IPv4 or IPv6 address, a DNS name, or unix:///path of a Unix socket in one of "
        "the GatewayConfig's upstreamSockets."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=0, description="Needed, but for a Unix socket, which has none."
    )
    weight: Weight = Field(default=1, description="0 takes no requests.")
    health: Literal["Auto", "Healthy", "Unhealthy"] = "Auto"
    zone: Name | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "port",
            "a port between 1 and 65535 is needed; only a Unix socket has none",
            "self.host.startsWith('unix:') == (self.port == 0)",
            lambda self: self.host.startswith(UNIX) == (self.port == 0),
        ),
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
    zones: Annotated[tuple[Zone, ...], Field(max_length=64)] = Field(
        default=(), description="What the zones of the targets take; without it, all alike."
    )
    health_checks: HealthChecks | None = None
    circuit_breaker: CircuitBreaker | None = None
    connect_timeout: Duration = Field(default="5s", description="1ms at least.")
    connection: Connection | None = None
    dns: Dns | None = None
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
        Rule(
            "zones",
            "give every zone a weight, or none",
            "!has(self.zones) || self.zones.all(z, has(z.weight)) "
            "|| self.zones.all(z, !has(z.weight))",
            lambda self: len({each.weight is None for each in self.zones}) < 2,
        ),
        Rule(
            "zones",
            "zones share by weight or by zoneAware, not by both",
            "!has(self.zones) || !has(self.loadBalancing) || !has(self.loadBalancing.zoneAware) "
            "|| self.zones.all(z, !has(z.weight))",
            lambda self: (
                self.load_balancing.zone_aware is None
                or all(each.weight is None for each in self.zones)
            ),
        ),
        Rule(
            "healthChecks.active.type",
            "a GRPC check needs protocol HTTP2 or GRPC",
            "!has(self.healthChecks) || !has(self.healthChecks.active) "
            "|| self.healthChecks.active.type != 'GRPC' || self.protocol in ['HTTP2', 'GRPC']",
            lambda self: (
                self.health_checks is None
                or self.health_checks.active is None
                or self.health_checks.active.type != "GRPC"
                or self.protocol in ("HTTP2", "GRPC")
            ),
        ),
        unique_by("zones", "two zones have the same name", "name"),
        unique_by("targets", "two targets have the same host and port", "host", "port"),
    )


class Upstream(Resource):
    """A pool of targets."""

    plural: ClassVar[str] = "upstreams"
    short_names: ClassVar[tuple[str, ...]] = ("fgu",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Policy", ".spec.loadBalancing.policy"),
        PrinterColumn("Targets", ".spec.targets[*].host"),
        PrinterColumn("Unhealthy", ".status.unhealthyTargets[*].address"),
    )
    kind: Literal["Upstream"] = "Upstream"
    spec: UpstreamSpec
