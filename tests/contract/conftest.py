"""The two places objects are kept in, behind one port: a folder, and a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import yaml
from cluster.conftest import (  # noqa: F401 - fixtures
    binaries,
    cluster_folder,
    control_plane,
    fault_proxy,
    namespace,
    pytest_runtest_makereport,
)
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy

from fluxgate.ports import ResourceClient
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.resource_clients.directory import DirectoryResources
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources

PLACES = ("folder", "cluster", "cluster: one namespace")


@dataclass(frozen=True)
class Place:
    """Where objects are kept: ours to read and write, and others', who do not ask us.

    ``another`` makes one more client of the same place.
    """

    client: ResourceClient
    namespace: str
    put: Callable[[dict], Awaitable[None]]
    remove: Callable[[ObjectRef], Awaitable[None]]
    another: Callable[[], object]

    def document(self, name: str, host: str = "192.0.2.1", **metadata: object) -> dict:
        """An Upstream of one target."""
        return {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": "Upstream",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": {"targets": [{"host": host, "port": 80}]},
        }

    def ref(self, name: str, kind: str = "Upstream") -> ObjectRef:
        """Who an object here is."""
        return ObjectRef(kind, self.namespace, name)


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Every place in turn, empty."""
    if request.param == "folder":
        async with folder_place(tmp_path) as found:
            yield found
        return
    plane: ControlPlane = request.getfixturevalue("control_plane")
    home: str = request.getfixturevalue("namespace")
    only = (home,) if "one namespace" in request.param else ()
    async with cluster_place(plane, home, only) as found:
        yield found


@asynccontextmanager
async def folder_place(root: Path) -> AsyncIterator[Place]:
    """A folder that others edit by hand."""
    files = root / "objects"
    files.mkdir()

    def another() -> DirectoryResources:
        return DirectoryResources(files, structlog.get_logger())

    async def put(document: dict) -> None:
        draft = root / "draft"
        draft.write_text(yaml.safe_dump(document))
        draft.replace(files / f"{document['metadata']['name']}.yaml")

    async def remove(ref: ObjectRef) -> None:
        (found,) = (
            each for each in files.rglob("*.yaml") if f"name: {ref.name}\n" in each.read_text()
        )
        found.unlink()

    async with another() as client:
        yield Place(client, "team-a", put, remove, another)


@asynccontextmanager
async def cluster_place(
    plane: ControlPlane, home: str, only: tuple[str, ...]
) -> AsyncIterator[Place]:
    """An API server that others write to, too."""
    access = await load_access(plane.kubeconfig, None, {})
    types = {each.kind: each for each in OUR_TYPES}

    def another() -> KubernetesResources:
        return KubernetesResources(access, structlog.get_logger(), namespaces=only)

    async def put(document: dict) -> None:
        path = types[document["kind"]].path(home)
        name = document["metadata"]["name"]
        try:
            now = await asyncio.to_thread(plane.request, "GET", f"{path}/{name}")
        except RuntimeError:
            await asyncio.to_thread(plane.request, "POST", path, document)
        else:
            version = {"resourceVersion": now["metadata"]["resourceVersion"]}
            body = {**document, "metadata": {**document["metadata"], **version}}
            await asyncio.to_thread(plane.request, "PUT", f"{path}/{name}", body)

    async def remove(ref: ObjectRef) -> None:
        path = types[ref.kind].path(ref.namespace, ref.name)
        await asyncio.to_thread(plane.request, "DELETE", path)

    async with another() as client:
        yield Place(client, home, put, remove, another)


@dataclass(frozen=True)
class Fragile:
    """A place whose way there can be cut."""

    place: Place
    cut: Callable[[], None]
    heal: Callable[[], None]


@pytest.fixture(params=("folder", "cluster"))
async def fragile(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fragile]:
    """Both places, each with a way to lose it."""
    if request.param == "folder":
        async with folder_place(tmp_path) as found:
            root, away = tmp_path / "objects", tmp_path / "away"
            yield Fragile(
                found, lambda: root.rename(away) and None, lambda: away.rename(root) and None
            )
        return
    plane: ControlPlane = request.getfixturevalue("control_plane")
    proxy: FaultProxy = request.getfixturevalue("fault_proxy")
    home: str = request.getfixturevalue("namespace")
    async with cluster_place(plane, home, ()) as direct:
        access = await load_access(proxy.kubeconfig, None, {})
        async with KubernetesResources(access, structlog.get_logger()) as client:
            found = Place(client, home, direct.put, direct.remove, direct.another)
            yield Fragile(found, proxy.refuse, proxy.heal)
