"""The cluster and a folder of the same YAML give the very same bytes to Envoy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from support.cluster import OwnControlPlane
from support.envoy import eventually

from fluxgate.resources import ResourceStore
from fluxgate.snapshot import Snapshot
from fluxgate_operator.controller import Controller
from fluxgate_operator.documents import read_documents
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.settings import ClusterSettings, ControllerSettings

ROOT = Path(__file__).parents[3]
GOLDEN = sorted(path.parent for path in (ROOT / "tests" / "golden" / "cases").glob("*/in.yaml"))
EXAMPLES = (ROOT / "examples" / "quickstart",)
Document = dict[str, Any]


@dataclass(slots=True)
class World:
    """A private API server and a controller in this process, so that its bytes can be read."""

    plane: OwnControlPlane
    controller: Controller

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl beside the event loop."""
        return await asyncio.to_thread(self.plane.kubectl, *arguments, stdin=stdin)

    async def apply(self, documents: list[Document]) -> list[Document]:
        """``kubectl apply``; what the API server refuses is returned."""
        text = yaml.safe_dump_all(documents)
        done = await asyncio.to_thread(self.plane.try_kubectl, "apply", "-f", "-", stdin=text)
        if done.returncode == 0:
            return []
        if len(documents) == 1:
            return documents
        return [each for one in documents for each in await self.apply([one])]

    async def snapshots(self, wanted: dict[str, Snapshot]) -> dict[str, Snapshot]:
        """The controller's snapshots, once they are the wanted ones, else after 10 s."""
        engine = self.controller.parts.engine
        try:
            async with asyncio.timeout(60):
                while True:
                    done = engine.reconciler.done.subscribe()
                    found = self._now()
                    if bytes_of(found) == bytes_of(wanted):
                        return found
                    await done
        except TimeoutError:
            return self._now()

    def _now(self) -> dict[str, Snapshot]:
        turn = self.controller.parts.engine.reconciler.current
        return dict(turn.built.snapshots) if turn is not None else {}


@pytest.fixture
async def world(own_control_plane: OwnControlPlane) -> AsyncIterator[World]:
    named = {identity(each)[1] for case in GOLDEN for each in documents_of(case)}
    for name in sorted(named - {"default"}):
        own_control_plane.new_namespace(name)

    def discovered() -> bool:
        listed = own_control_plane.request("GET", "/apis/gateway.fluxgate.io/v1alpha1")
        return len([each for each in listed["resources"] if "/" not in each["name"]]) == 7

    eventually(discovered, what="discovery names every kind")
    settings = ControllerSettings(
        "default",
        "one",
        cluster=ClusterSettings(kubeconfig=own_control_plane.kubeconfig),
        xds_port=0,
        http_port=0,
        insecure=True,
    )
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
    controller = Controller(settings, log, {})
    await controller.start()
    try:
        async with asyncio.timeout(60):
            await controller.ready.wait()
        yield World(own_control_plane, controller)
    finally:
        await controller.stop()


def bytes_of(snapshots: dict[str, Snapshot]) -> dict[tuple[str, str, str], bytes]:
    """Every resource, by gateway, type and name."""
    return {
        (gateway, url, name): resource.payload
        for gateway, snapshot in snapshots.items()
        for url, named in snapshot.resources.items()
        for name, resource in named.items()
    }


async def of_folder(folder: Path) -> dict[str, Snapshot]:
    """What the directory provider makes of a folder."""
    store = ResourceStore()
    provider = DirectoryProvider(folder, store, lambda: None, lambda obj: obj)
    running = asyncio.create_task(provider.run())
    try:
        await provider.loaded()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert not provider.problems
    return dict(CachedPipeline().build(store.freeze(), {}).snapshots)


def documents_of(folder: Path) -> list[Document]:
    """All documents of a case or an example, in the order of files."""
    paths = [folder / "in.yaml"] if (folder / "in.yaml").exists() else sorted(folder.glob("*.yaml"))
    read = [read_documents(path.read_bytes()) for path in paths]
    assert not [errors for _, errors in read if errors]
    return [dict(each.content) for documents, _ in read for each in documents]


def identity(document: Document) -> tuple[str, str, str]:
    """Kind, namespace, name."""
    meta = document["metadata"]
    return document["kind"], meta.get("namespace", "default"), meta["name"]


async def with_times_of_the_cluster(world: World, documents: list[Document]) -> list[Document]:
    """The documents, as old as the API server says they are.

    The older of two Routes wins, and nobody may choose an object's ``creationTimestamp`` in a
    cluster. So the folder is told the times of the cluster; nothing else of the documents changes.
    """
    text = yaml.safe_dump_all(documents)
    listed = json.loads(await world.kubectl("get", "-o", "json", "-f", "-", stdin=text))
    created = {
        identity(each): each["metadata"]["creationTimestamp"]
        for each in listed.get("items", [listed])
    }
    return [
        {
            **document,
            "metadata": {**document["metadata"], "creationTimestamp": created[identity(document)]},
        }
        for document in documents
    ]


async def test_every_case_gives_the_bytes_that_a_folder_gives(world: World, tmp_path: Path) -> None:
    compared, refused, different = 0, {}, []
    for case in (*GOLDEN, *EXAMPLES):
        documents = documents_of(case)
        rejected = await world.apply(documents)
        accepted = [each for each in documents if each not in rejected]
        if rejected:
            refused[case.name] = [identity(each) for each in rejected]
        folder = tmp_path / case.name
        folder.mkdir()
        told = await with_times_of_the_cluster(world, accepted)
        (folder / "all.yaml").write_text(yaml.safe_dump_all(told))
        wanted = await of_folder(folder)
        found = await world.snapshots(wanted)
        mine, theirs = bytes_of(wanted), bytes_of(found)
        unequal = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
        different += [(case.name, key) for key in unequal]
        if different:
            break
        compared += len(mine)
        await world.kubectl("delete", "--wait=false", "-f", str(folder / "all.yaml"))
        await world.snapshots({})

    assert different == []
    assert refused == {}
    assert compared > 200
