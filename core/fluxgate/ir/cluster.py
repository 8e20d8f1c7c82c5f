"""Clusters: where requests go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fluxgate.resources import ObjectRef


class Health(StrEnum):
    """What is known of an endpoint by hand."""

    AUTO = "Auto"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"


@dataclass(frozen=True, slots=True)
class EndpointIR:
    """One address of a cluster: an IP address, or a DNS name in a DNS cluster."""

    host: str
    port: int
    weight: int = 1
    health: Health = Health.AUTO
    zone: str = ""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """``policy`` is one of RoundRobin, LeastRequest, Random, RingHash, Maglev."""

    policy: str = "RoundRobin"
    slow_start_ms: int = 0


@dataclass(frozen=True, slots=True)
class ActiveCheck:
    """An active health check. Durations in milliseconds."""

    type: str
    path: str
    host: str
    service: str
    interval_ms: int
    timeout_ms: int
    healthy_threshold: int
    unhealthy_threshold: int
    expected_statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """Ejection of endpoints that fail real requests. Durations in milliseconds."""

    consecutive_5xx: int
    interval_ms: int
    base_ejection_ms: int
    max_ejection_percent: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Circuit breaker thresholds; None leaves Envoy's default."""

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_retries: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterTLS:
    """TLS towards the endpoints. Certificates are names of SDS secrets; empty for none."""

    server_name: str = ""
    ca_secret: str = ""
    client_secret: str = ""
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """One upstream pool.

    ``name`` is the identity of the upstream plus a hash of everything but the
    endpoints, so a change of settings makes a new cluster beside the old one and
    a change of endpoints does not. ``eds_name`` names the endpoints' own resource.
    With ``dns`` the endpoints are names that Envoy resolves itself.
    """

    name: str
    eds_name: str
    origins: tuple[ObjectRef, ...]
    endpoints: tuple[EndpointIR, ...]
    dns: bool = False
    protocol: str = "HTTP1"
    connect_timeout_ms: int = 5_000
    load_balancer: LoadBalancer = LoadBalancer()
    active_check: ActiveCheck | None = None
    outlier_detection: OutlierDetection | None = None
    panic_threshold: int | None = None
    thresholds: Thresholds | None = None
    tls: ClusterTLS | None = None
