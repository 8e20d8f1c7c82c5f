"""What the composition roots are told. Built by the command line, passed down, never global."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BackOffSettings:
    """Exponential back-off with jitter. Seconds; a run of ``stable`` seconds resets it."""

    first: float = 0.1
    factor: float = 2.0
    limit: float = 15.0
    jitter: float = 0.2
    stable: float = 20.0


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """One supervised Envoy.

    ``path`` is the binary, None to search for it. ``concurrency`` is the number of
    worker threads, 0 for one per CPU. ``admin_port`` is on loopback, 0 for a free one,
    None for a Unix socket in the state folder. ``max_heap_bytes`` arms the overload
    manager's heap monitor. ``drain_seconds`` is how long open requests may take to end.
    ``metrics`` is (address, port) where Prometheus may ask, None for nowhere. ``zone`` is where
    it runs.
    """

    path: Path | None = None
    concurrency: int = 0
    admin_port: int | None = 0
    drain_seconds: float = 30.0
    kill_seconds: float = 5.0
    log_level: str = "warning"
    metrics: tuple[str, int] | None = None
    zone: str = ""
    max_connections: int = 50_000
    max_heap_bytes: int | None = None
    back_off: BackOffSettings = field(default_factory=BackOffSettings)


@dataclass(frozen=True, slots=True)
class HoldoffSettings:
    """How a burst of changes is coalesced. Seconds.

    The first change after idle waits ``delay``; each further change within it extends
    the wait by ``delay`` again, to ``ceiling`` in all. Whoever writes many objects and says so is
    waited for, ``gathering`` at the longest: then others have their turn.
    """

    delay: float = 0.002
    ceiling: float = 0.1
    gathering: float = 1.0


@dataclass(frozen=True, slots=True)
class StandaloneSettings:
    """``fluxgate run``: a folder, one Envoy, no Kubernetes.

    ``xds_port`` 0 picks a free one. ``http_port`` replaces the port of the gateway's
    first HTTP listener: None keeps it, 0 picks a free one. ``gateway`` names the
    GatewayConfig to serve (``namespace/name`` or ``name``); None takes the first.
    ``validations`` is how many ``envoy --mode validate`` may run at a time; ``trial_seconds`` is how
    long one may take that somebody waits for (the admin API).
    """

    config_dir: Path
    state_dir: Path
    envoy: EnvoySettings = field(default_factory=EnvoySettings)
    gateway: str | None = None
    xds_port: int = 0
    http_port: int | None = None
    holdoff: HoldoffSettings = field(default_factory=HoldoffSettings)
    node_id: str = "standalone"
    probe_seconds: float = 5.0
    validations: int = 2
    validate_seconds: float = 20.0
    trial_seconds: float = 8.0


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Leader election on a ``coordination.k8s.io`` Lease. Seconds.

    A leader that could not renew for ``renew_deadline`` stops writing; another takes over when
    the Lease is older than ``duration``. The leader renews every ``retry_period``, the others
    look every ``poll_period``: that is how long a graceful hand-over takes at most.
    """

    name: str = "fluxgate-controller"
    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    poll_period: float = 0.5


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which part of which cluster is watched.

    ``kubeconfig`` None means the pod's ServiceAccount, or the user's kubeconfig outside a pod.
    ``namespaces`` empty means all. ``ingress_class`` empty means that Ingress is not an input.
    ``resync_seconds`` is how often a list makes the store true without any reason. A watch that
    says nothing for ``watch_silence_seconds`` is taken for dead; an idle one gets a bookmark
    every minute.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    ingress_class: str = "fluxgate"
    resync_seconds: float = 300.0
    watch_silence_seconds: float = 68.0


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """``fluxgate controller``: one replica of the control plane on Kubernetes.

    ``namespace`` is where its Lease, Secrets and Services are; ``identity`` its name in the Lease
    (the pod's name); ``pod_uid`` lets what is this replica's alone go with its pod, empty outside
    of one; ``advertise`` the address at which other replicas reach it (the pod's IP).
    ``tls_dir`` holds ``ca.crt``, ``tls.crt`` and ``tls.key`` made by others (cert-manager);
    without it the controller makes its own, unless everything is on loopback and ``insecure``.
    On ``xds_port`` nodes come with a ServiceAccount's token, on ``peer_port`` other replicas and
    nodes come with certificates. Ports: 0 picks a free one; ``webhook_port`` None serves no
    webhooks. ``sidecar_image`` is what injected sidecars run.
    """

    namespace: str
    identity: str
    pod_uid: str = ""
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    advertise: str = "127.0.0.1"
    xds_address: str = "127.0.0.1"
    xds_port: int = 18000
    peer_port: int = 18001
    http_address: str = "127.0.0.1"
    http_port: int = 8081
    webhook_address: str = "127.0.0.1"
    webhook_port: int | None = None
    tls_dir: Path | None = None
    insecure: bool = False
    service: str = "fluxgate-controller"
    trust_domain: str = "cluster.local"
    sidecar_image: str = "fluxgate"
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    holdoff: HoldoffSettings = field(default_factory=HoldoffSettings)
    envoy_path: Path | None = None
    validations: int = 2
    validate_seconds: float = 20.0
    trial_seconds: float = 8.0
