"""A real API server for every test here; see :mod:`support.cluster`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from support.cluster import ControlPlane, OwnControlPlane
from support.cluster_processes import ClusterProcesses
from support.cluster_share import shared_control_plane, want_controller_manager
from support.envoy import eventually
from support.fault_proxy import FaultProxy

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from tools.toolset import NEEDED, Toolset, ToolsMissingError

_REMEDY = "run `make tools`"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests skipped for want of the tools share one place, so pytest says it in one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple) and _REMEDY in report.longrepr[2]:
        report.longrepr = (__file__, 1, report.longrepr[2])
    return report


class Binaries(dict[str, Path]):
    """Paths by name. Asking for one that is not there skips the test: envtest has no helm."""

    def __missing__(self, name: str) -> Path:
        pytest.skip(f"no {name}: {_REMEDY}")


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The programs, by name; without an API server every test here is skipped."""
    try:
        return Binaries(Toolset.from_environment().found(*NEEDED))
    except ToolsMissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "cluster"


@pytest.fixture(scope="session")
def control_plane(cluster_folder: Path, binaries: Binaries) -> Iterator[ControlPlane]:
    """The API server that all tests share, with our CRDs. Do not break it."""
    with shared_control_plane(cluster_folder, binaries) as plane:
        yield plane


@pytest.fixture
def with_controller_manager(control_plane: ControlPlane, cluster_folder: Path) -> None:
    """The shared control plane deletes namespaces, collects garbage, makes default accounts."""
    assert control_plane.binaries["kube-controller-manager"]
    want_controller_manager(cluster_folder)
    name = "kube-controller-manager-works"
    if "404" in _get(control_plane, f"/api/v1/namespaces/{name}"):
        control_plane.try_kubectl("create", "namespace", name)
    path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    eventually(lambda: not _get(control_plane, path), timeout=120, what="the controller manager")


def _get(plane: ControlPlane, path: str) -> str:
    try:
        plane.request("GET", path)
    except RuntimeError as error:
        return str(error)
    return ""


@pytest.fixture
def own_control_plane(tmp_path: Path, binaries: Binaries) -> Iterator[OwnControlPlane]:
    """An API server of this test alone, with our CRDs; about 4 s to start."""
    processes = ClusterProcesses(binaries, tmp_path / "own-cluster")
    try:
        processes.start()
        plane = OwnControlPlane(processes, binaries)
        plane.install_crds()
        yield plane
    finally:
        processes.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A fresh namespace with its default ServiceAccount; its objects of ours go at the end."""
    name = control_plane.new_namespace()
    yield name
    control_plane.clear_namespace(name)


@pytest.fixture
async def kube(control_plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """A client with all rights."""
    access = await load_access(control_plane.kubeconfig, None, {})
    async with KubeClient(access) as client:
        yield client


@pytest.fixture
def fault_proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """A proxy in front of the shared API server that fails when told to."""
    with FaultProxy(control_plane.url, control_plane.files) as proxy:
        yield proxy
