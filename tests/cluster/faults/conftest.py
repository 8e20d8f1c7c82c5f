"""Who is put under load, and an API server that may be broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster.controller.conftest import Site
from support.cluster import ControlPlane, OwnControlPlane
from support.cluster_processes import ClusterProcesses
from support.fault_proxy import FaultProxy
from support.ports import free_port
from support.upstream import EchoUpstream


@pytest.fixture
def site(control_plane: ControlPlane, namespace: str) -> Iterator[Site]:
    """A site on the shared API server."""
    with EchoUpstream("echo") as upstream:
        yield Site(control_plane, namespace, free_port(), upstream)


@pytest.fixture(scope="module")
def fragile(
    binaries: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnControlPlane]:
    """An API server for the tests of one module, one after another: each leaves it well."""
    processes = ClusterProcesses(binaries, tmp_path_factory.mktemp("fragile") / "cluster")
    try:
        processes.start()
        plane = OwnControlPlane(processes, binaries)
        plane.install_crds()
        yield plane
    finally:
        processes.stop()


@pytest.fixture
def fragile_site(fragile: OwnControlPlane) -> Iterator[Site]:
    """A site on the API server that may be broken."""
    with EchoUpstream("echo") as upstream:
        yield Site(fragile, fragile.new_namespace(), free_port(), upstream)


@pytest.fixture
def fragile_proxy(fragile: OwnControlPlane) -> Iterator[FaultProxy]:
    """A proxy in front of it."""
    with FaultProxy(fragile.url, fragile.files) as proxy:
        yield proxy
