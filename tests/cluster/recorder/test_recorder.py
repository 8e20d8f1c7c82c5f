"""The recorder over a real API server: resource versions, field managers, defaults, statuses, deletions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from support.cluster import ControlPlane
from support.databases import PATIENCE
from support.fault_proxy import FaultProxy
from support.history import Clock, intent, path_of, route, told, until

from fluxgate.resources import ObjectRef
from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.use_cases.recorder import RECORDED, Recorder, RecorderSettings
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources

LOG = structlog.get_logger("test")
ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")


class Cluster:
    """The API server, asked directly: as people do, not as the admin API."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self.namespace = plane, namespace
        self.ref = ObjectRef("Route", namespace, "orders")

    async def apply(self, path: str, manager: str = "kubectl") -> None:
        """Server-side apply."""
        where = f"{self._url()}?fieldManager={manager}&force=true"
        await asyncio.to_thread(
            self._plane.request,
            "PATCH",
            where,
            route(path=path, namespace=self.namespace),
            "application/apply-patch+yaml",
        )

    async def say_accepted(self) -> None:
        """Write a status, as the controller does."""
        condition = {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "lastTransitionTime": "2030-01-01T00:00:00Z",
        }
        await asyncio.to_thread(
            self._plane.request,
            "PATCH",
            f"{self._url()}/status",
            {"status": {"conditions": [condition]}},
            "application/merge-patch+json",
        )

    async def delete(self) -> None:
        await asyncio.to_thread(self._plane.request, "DELETE", self._url())

    def _url(self) -> str:
        return ROUTES.path(self.namespace, "orders")


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    return Cluster(control_plane, namespace)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/admin.db"
    await migrate.upgrade(url)
    async with Database(url, seconds=PATIENCE) as opened:
        yield opened


@contextlib.asynccontextmanager
async def recording(kubeconfig: Path, cluster: Cluster, database: Database) -> AsyncIterator[None]:
    """A recorder of the test's namespace, caught up."""
    access = await load_access(kubeconfig, None, {})
    only = (cluster.namespace,)
    async with KubernetesResources(access, LOG, namespaces=only) as resources:
        recorder = Recorder(
            resources,
            SqlHistory(database, Clock()),
            log=LOG,
            clock=Clock(),
            settings=RecorderSettings(recheck=3600, pause=0.05, longest_pause=0.5),
            namespaces=only,
        )
        task = asyncio.create_task(recorder.run())
        try:
            await asyncio.wait_for(recorder.caught_up.wait(), 60)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def history_is(database: Database, *expected: tuple[str | None, str | None, str]) -> None:
    history = SqlHistory(database, Clock())
    seen: list[object] = []

    async def as_expected() -> bool:
        seen[:] = await told(history)
        return seen == list(expected)

    try:
        await until(as_expected, "the history")
    except AssertionError:
        assert seen == list(expected)
        raise


async def test_changes_by_kubectl_are_revisions_with_their_field_manager_and_statuses_are_none(
    control_plane: ControlPlane, cluster: Cluster, database: Database
) -> None:
    async with recording(control_plane.kubeconfig, cluster, database):
        await cluster.apply("/a")
        await cluster.say_accepted()
        await cluster.apply("/b", manager="argocd")
        await cluster.say_accepted()
        await cluster.delete()
        await cluster.apply("/c")
        await history_is(
            database,
            (None, "/a", "kubectl"),
            ("/a", "/b", "argocd"),
            ("/b", None, "unknown"),
            (None, "/c", "kubectl"),
        )


async def test_a_write_of_the_api_is_signed_though_the_server_wrote_defaults_and_its_writer_died(
    control_plane: ControlPlane, cluster: Cluster, database: Database
) -> None:
    terse = route(path="/a", namespace=cluster.namespace)
    del terse["spec"]["matches"][0]["path"]["type"]
    write = intent(None, terse, author="alice")
    await SqlHistory(database, Clock()).begin(write)
    access = await load_access(control_plane.kubeconfig, None, {})
    async with KubernetesResources(access, LOG) as resources:
        made = await resources.create(terse)
    assert made.document["spec"] != terse["spec"], "the server writes defaults"
    async with recording(control_plane.kubeconfig, cluster, database):
        await history_is(database, (None, "/a", "alice"))
        finished = await SqlHistory(database, Clock()).finish(write.id, made)
        assert finished is not None
        assert path_of(finished.after) == "/a"
        await history_is(database, (None, "/a", "alice"))


async def test_what_changed_while_nobody_watched_is_found_at_the_next_start(
    control_plane: ControlPlane, cluster: Cluster, database: Database
) -> None:
    async with recording(control_plane.kubeconfig, cluster, database):
        await cluster.apply("/a")
        await history_is(database, (None, "/a", "kubectl"))
    await cluster.delete()
    async with recording(control_plane.kubeconfig, cluster, database):
        await history_is(database, (None, "/a", "kubectl"), ("/a", None, "unknown"))


async def test_what_changed_while_the_api_server_could_not_be_reached_is_kept_once_it_can(
    fault_proxy: FaultProxy, cluster: Cluster, database: Database
) -> None:
    async with recording(fault_proxy.kubeconfig, cluster, database):
        await cluster.apply("/a")
        await history_is(database, (None, "/a", "kubectl"))
        fault_proxy.refuse()
        await cluster.apply("/b")
        fault_proxy.heal()
        await history_is(database, (None, "/a", "kubectl"), ("/a", "/b", "kubectl"))
        living = await SqlHistory(database, Clock()).living(RECORDED)
        assert set(living) == {cluster.ref}


async def test_two_recorders_of_two_replicas_keep_each_change_once(
    control_plane: ControlPlane, cluster: Cluster, database: Database, tmp_path: Path
) -> None:
    expected = [f"/{number}" for number in range(15)]
    async with (
        Database(f"sqlite:///{tmp_path}/admin.db", seconds=PATIENCE) as other,
        recording(control_plane.kubeconfig, cluster, database),
        recording(control_plane.kubeconfig, cluster, other),
    ):
        for path in expected:
            await cluster.apply(path)
        pairs = zip([None, *expected], expected, strict=False)
        await history_is(database, *((before, after, "kubectl") for before, after in pairs))
