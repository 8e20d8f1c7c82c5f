"""What an injected sidecar is made from, and the words a pod says about it."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "gateway.fluxgate.io/"
INJECT_LABEL = PREFIX + "inject"
GATEWAY = PREFIX + "gateway"
IMAGE = PREFIX + "sidecar-image"
CPU, CPU_LIMIT = PREFIX + "sidecar-cpu", PREFIX + "sidecar-cpu-limit"
MEMORY, MEMORY_LIMIT = PREFIX + "sidecar-memory", PREFIX + "sidecar-memory-limit"

CONTAINER = "fluxgate-sidecar"
IDENTITY_VOLUME, RUN_VOLUME = "fluxgate-xds", "fluxgate-run"
ADMIN_SOCKET = "/var/run/fluxgate/run/admin.sock"
PROBE_PORT, METRICS_PORT, HEALTH_PORT = 15902, 15901, 15903
METRICS_PORT_NAME = "envoy-metrics"
"""By which a PodMonitor finds it; a name of a port has at most 15 characters."""


@dataclass(frozen=True, slots=True)
class SidecarSettings:
    """``image`` holds ``envoy`` and ``fluxgate``. ``ca_pem`` is whom a sidecar trusts.

    Requests and limits are Kubernetes quantities; an empty limit is none. ``concurrency`` is
    Envoy's number of worker threads. ``drain_seconds`` bounds how long a pod that ends waits for
    open requests; the pod's own ``terminationGracePeriodSeconds`` bounds it too.
    """

    image: str
    xds_host: str
    xds_port: int
    server_name: str
    ca_pem: str
    cpu: str = "50m"
    cpu_limit: str = ""
    memory: str = "64Mi"
    memory_limit: str = "256Mi"
    concurrency: int = 1
    drain_seconds: int = 20
    token_seconds: int = 3600
