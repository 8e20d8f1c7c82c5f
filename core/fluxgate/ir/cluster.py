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


UNIX = "unix://"


@dataclass(frozen=True, slots=True)
class EndpointIR:
    """One address of a cluster: an IP address, a DNS name in a DNS cluster, or a Unix socket.

    The host of a socket is ``unix://`` and its path, the port 0. ``priority`` and ``zone_weight``
    are those of its zone; a zone without a weight has 0.
    """

    host: str
    port: int
    weight: int = 1
    health: Health = Health.AUTO
    zone: str = ""
    priority: int = 0
    zone_weight: int = 0

    @property
    def socket(self) -> str:
        """The path of a Unix socket; empty for any other address."""
        return self.host.removeprefix(UNIX) if self.host.startswith(UNIX) else ""


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """``policy`` is one of RoundRobin, LeastRequest, Random, RingHash, Maglev.

    0 means not set, but for ``zone_minimum``: with a number, requests stay in the zone of
    the Envoy that has them while so many endpoints are healthy there. ``zones_weighted``: zones
    share by weights of their own.
    """

    policy: str = "RoundRobin"
    slow_start_ms: int = 0
    slow_start_percent: int = 10
    choices: int = 0
    ring_size: int = 0
    max_load_percent: int = 0
    zone_minimum: int | None = None
    zones_weighted: bool = False


@dataclass(frozen=True, slots=True)
class ActiveCheck:
    """An active health check. Durations in milliseconds.

    ``unhealthy_interval_ms`` and ``port`` are 0 where they are the usual ones.
    """

    type: str
    path: str
    host: str
    service: str
    interval_ms: int
    timeout_ms: int
    healthy_threshold: int
    unhealthy_threshold: int
    expected_statuses: tuple[int, ...]
    method: str = "GET"
    send: str = ""
    receive: str = ""
    port: int = 0
    unhealthy_interval_ms: int = 0


@dataclass(frozen=True, slots=True)
class FailureShare:
    """Ejection by the percentage of failed requests of an interval."""

    threshold: int
    minimum_requests: int
    minimum_hosts: int


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """Ejection of endpoints that fail real requests. Durations in milliseconds.

    0 switches one of the further causes off, and leaves Envoy's default of
    ``max_ejection_ms``.
    """

    consecutive_5xx: int
    interval_ms: int
    base_ejection_ms: int
    max_ejection_percent: int
    consecutive_gateway_errors: int = 0
    consecutive_connect_failures: int = 0
    failure_share: FailureShare | None = None
    max_ejection_ms: int = 0


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Retries in flight as a share of the requests in flight, and how many there may always be."""

    percent: float
    minimum: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Circuit breaker thresholds; None leaves Envoy's default."""

    max_connections: int | None = None
    max_pending_requests: int | None = None
    max_requests: int | None = None
    max_retries: int | None = None
    max_connections_per_host: int | None = None
    retry_budget: RetryBudget | None = None


@dataclass(frozen=True, slots=True)
class DnsIR:
    """How names are resolved; ``family`` in the words of the API. In milliseconds."""

    logical: bool = False
    refresh_ms: int = 5_000
    respect_ttl: bool = True
    family: str = "V4Preferred"


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keepalive, in whole seconds; 0 leaves the system's values."""

    idle_s: int = 0
    interval_s: int = 0
    probes: int = 0


@dataclass(frozen=True, slots=True)
class Connections:
    """Connections to the endpoints; 0 leaves Envoy's defaults. Durations in milliseconds."""

    idle_timeout_ms: int = 0
    max_duration_ms: int = 0
    max_requests: int = 0
    keepalive: Keepalive | None = None


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
    a change of endpoints does not. ``eds_name`` names the endpoints' own resource, which
    clusters of one upstream share when they check it at the same port and alike in naming a host.
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
    resolution: DnsIR = DnsIR()
    connections: Connections | None = None
