"""Helm against a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cluster import ControlPlane, OwnControlPlane
from support.cluster_processes import ClusterProcesses
from support.databases import postgres
from support.helm import Helm

__all__ = ["postgres"]


def helm_of(plane: ControlPlane, folder: Path) -> Helm:
    """Helm as the admin of a cluster."""
    return Helm(plane.binaries["helm"], folder, plane.environment())


@pytest.fixture
def helm(control_plane: ControlPlane, tmp_path: Path) -> Helm:
    """Helm as the admin of the shared control plane."""
    return helm_of(control_plane, tmp_path)


@pytest.fixture
def new_cluster(tmp_path: Path, binaries: dict[str, Path]) -> Iterator[OwnControlPlane]:
    """An API server of this test alone that has never heard of FluxGate."""
    processes = ClusterProcesses(binaries, tmp_path / "new-cluster")
    try:
        processes.start()
        yield OwnControlPlane(processes, binaries)
    finally:
        processes.stop()
