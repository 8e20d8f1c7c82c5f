"""The control plane the local node belongs to: the API server and the controllers that make pods."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cluster import OwnControlPlane
from support.cluster_processes import CONTROLLERS, ClusterProcesses

_FLAGS = (
    # without kube-proxy the API server must call webhooks at their pods, not at the cluster IP
    "--enable-aggregator-routing=true",
)
_CONTROLLERS = (
    *CONTROLLERS,
    "deployment-controller",
    "replicaset-controller",
    "daemonset-controller",
    "statefulset-controller",
    "job-controller",
    "cronjob-controller",
    "ttl-after-finished-controller",
    "endpointslice-controller",
    "disruption-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
)
# folders of this machine as volumes, below /tmp/hostpath_pv
_CONTROLLER_FLAGS = ("--enable-hostpath-provisioner=true",)


@contextmanager
def control_plane(
    binaries: dict[str, Path], folder: Path, address: str
) -> Iterator[OwnControlPlane]:
    """An API server on ``address``, where pods reach it, and its controllers. Without CRDs of ours."""
    processes = ClusterProcesses(
        binaries,
        folder,
        address=address,
        flags=_FLAGS,
        controllers=_CONTROLLERS,
        controller_flags=_CONTROLLER_FLAGS,
    )
    try:
        processes.start()
        processes.start_controller_manager()
        yield OwnControlPlane(processes, binaries)
    finally:
        processes.stop()
