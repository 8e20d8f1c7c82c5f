"""What a real API server adds to the contract: others' metadata, statuses, rights, busy servers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest
import structlog
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy, Seen

from fluxgate.errors import (
    ResourceConflictError,
    ResourceError,
    ResourceForbiddenError,
    ResourceStoreUnavailableError,
)
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import CONFIG_MAPS, OUR_TYPES
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources

T = TypeVar("T")

UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")


def upstream(namespace: str, name: str = "a", host: str = "192.0.2.1", **metadata: object) -> dict:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Upstream",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": {"targets": [{"host": host, "port": 80}]},
    }


async def write_status(kube: KubeClient, namespace: str, reason: str) -> None:
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2024-01-01T00:00:00Z",
    }
    patch = {"status": {"conditions": [condition]}}
    await kube.merge_patch(UPSTREAMS, namespace, "a", patch, subresource="status")


async def test_finalizers_owners_and_the_status_outlive_a_replacement(
    direct: KubernetesResources, kube: KubeClient, namespace: str
):
    owner = await kube.create(
        CONFIG_MAPS,
        namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}},
    )
    owners = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "name": "owner",
            "uid": owner["metadata"]["uid"],
        }
    ]
    given = upstream(
        namespace,
        finalizers=["example.com/keep"],
        ownerReferences=owners,
        annotations={"gateway.fluxgate.io/note": "ours", "example.com/theirs": "1"},
    )
    await kube.create(UPSTREAMS, namespace, given)
    await write_status(kube, namespace, "Accepted")
    read = await direct.get(ObjectRef("Upstream", namespace, "a"))
    await direct.replace(upstream(namespace, host="192.0.2.2"), read.version)
    now = await kube.get(UPSTREAMS, namespace, "a")
    assert now["spec"]["targets"][0]["host"] == "192.0.2.2"
    assert now["metadata"]["finalizers"] == ["example.com/keep"]
    assert now["metadata"]["ownerReferences"] == owners
    assert now["metadata"]["annotations"] == {"gateway.fluxgate.io/note": "ours"}
    assert now["status"]["conditions"][0]["reason"] == "Accepted"
    await kube.merge_patch(UPSTREAMS, namespace, "a", {"metadata": {"finalizers": []}})


async def test_the_last_writer_is_named_statuses_aside(
    direct: KubernetesResources, kube: KubeClient, control_plane: ControlPlane, namespace: str
):
    made = await direct.create(upstream(namespace))
    assert made.manager == "fluxgate-admin"
    await write_status(kube, namespace, "Accepted")
    assert (await direct.get(made.ref)).manager == "fluxgate-admin"
    manifest = json.dumps(upstream(namespace, host="192.0.2.3"))
    control_plane.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=ci",
        "-f",
        "-",
        stdin=manifest,
    )
    assert (await direct.get(made.ref)).manager == "ci"


async def test_who_wrote_within_the_same_second_as_we_did_is_named(
    direct: KubernetesResources, control_plane: ControlPlane, namespace: str
):
    path = f"{UPSTREAMS.path(namespace, 'a')}?fieldManager=kubectl-patch"
    edit = {"metadata": {"labels": {"team": "a"}}}
    for _ in range(3):  # one of them does not cross a second's end
        made = await direct.create(upstream(namespace))
        control_plane.request("PATCH", path, edit, "application/merge-patch+json")
        assert (await direct.get(made.ref)).manager == "kubectl-patch"
        await direct.delete(made.ref)


@contextlib.asynccontextmanager
async def between(
    fault_proxy: FaultProxy, method: str, work: Coroutine[Any, Any, T]
) -> AsyncIterator[asyncio.Task[T]]:
    """Inside, ``work`` has read and not written yet: the server was too busy for a second."""
    fault_proxy.answer(429, retry_after=1, which=lambda seen: seen.method == method, times=1)
    count = sum(seen.method == method for seen in fault_proxy.seen) + 1
    task = asyncio.create_task(work)
    await asyncio.to_thread(fault_proxy.wait_for, lambda seen: seen.method == method, count=count)
    yield task


async def test_a_status_written_between_reading_and_writing_is_no_conflict(
    shaky: KubernetesResources, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    made = await shaky.create(upstream(namespace))
    wanted = upstream(namespace, host="192.0.2.2")
    async with between(fault_proxy, "PUT", shaky.replace(wanted, made.version)) as writing:
        await write_status(kube, namespace, "Accepted")
    changed = await writing
    assert changed.document["spec"]["targets"][0]["host"] == "192.0.2.2"
    puts = [each for each in fault_proxy.seen if each.method == "PUT"]
    assert len(puts) == 3  # too busy, in conflict, done
    async with between(fault_proxy, "DELETE", shaky.delete(made.ref, changed.version)) as deleting:
        await write_status(kube, namespace, "Conflicted")
    await deleting
    assert await shaky.list("Upstream", namespace) == ()


async def test_a_change_between_reading_and_writing_is_a_conflict(
    shaky: KubernetesResources, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    made = await shaky.create(upstream(namespace))
    wanted = upstream(namespace, host="192.0.2.2")
    theirs = {"spec": {"targets": [{"host": "192.0.2.3", "port": 80}]}}
    async with between(fault_proxy, "PUT", shaky.replace(wanted, made.version)) as writing:
        await kube.merge_patch(UPSTREAMS, namespace, "a", theirs)
    with pytest.raises(ResourceConflictError):
        await writing
    now = await shaky.get(made.ref)
    label = {"metadata": {"labels": {"example.com/theirs": "1"}}}
    async with between(fault_proxy, "DELETE", shaky.delete(made.ref, now.version)) as deleting:
        await kube.merge_patch(UPSTREAMS, namespace, "a", label)
    with pytest.raises(ResourceConflictError):
        await deleting
    kept = await shaky.get(made.ref)
    assert kept.document["spec"]["targets"][0]["host"] == "192.0.2.3"
    assert kept.document["metadata"]["labels"] == {"example.com/theirs": "1"}


async def test_a_deletion_spares_an_object_that_was_made_anew(
    direct: KubernetesResources, kube: KubeClient, namespace: str
):
    made = await direct.create(upstream(namespace))
    await kube.delete(UPSTREAMS, namespace, "a")
    again = await direct.create(upstream(namespace))
    with pytest.raises(ResourceConflictError):
        await direct.delete(made.ref, made.version)
    assert (await direct.get(made.ref)).uid == again.uid != made.uid


async def test_a_namespace_that_is_not_there_is_the_documents_mistake(
    control_plane: ControlPlane, direct: KubernetesResources
):
    access = await load_access(control_plane.kubeconfig, None, {})
    async with KubernetesResources(access, structlog.get_logger()) as everywhere:
        with pytest.raises(ResourceError, match=r"metadata\.namespace: there is no such namespace"):
            await everywhere.create(upstream("nobody-made-this"))
        with pytest.raises(ResourceError, match=r"metadata\.namespace: there is no such namespace"):
            await everywhere.create(upstream("nobody-made-this"), dry_run=True)
    with pytest.raises(ResourceError, match=r"metadata\.namespace: is not managed here"):
        await direct.create(upstream("default"))


async def test_a_missing_right_is_named_and_is_not_the_documents_mistake(
    control_plane: ControlPlane, namespace: str
):
    control_plane.new_service_account(namespace, "weak")
    access = await load_access(control_plane.kubeconfig_for(namespace, "weak"), None, {})
    async with KubernetesResources(access, structlog.get_logger()) as weak:
        for call in (
            weak.create(upstream(namespace)),
            weak.create(upstream(namespace), dry_run=True),
            weak.delete(ObjectRef("Upstream", namespace, "a"), dry_run=True),
            weak.get(ObjectRef("Upstream", namespace, "a")),
            weak.list("Upstream"),
        ):
            with pytest.raises(ResourceForbiddenError, match=r"own account.*weak.*cannot"):
                await call


async def test_a_quota_is_said_in_the_servers_words(
    direct: KubernetesResources, control_plane: ControlPlane, namespace: str
):
    """Nobody counts usage without a controller manager, so the hard limit is 0 from the start."""
    hard = {"count/upstreams.gateway.fluxgate.io": "0"}
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    quota = control_plane.request("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    body = {**quota, "status": {"hard": hard, "used": hard}}
    control_plane.request("PUT", f"{path}/q/status", body)
    for dry_run in (True, False):
        with pytest.raises(ResourceError, match="exceeded quota"):
            await direct.create(upstream(namespace), dry_run=dry_run)


async def test_a_busy_server_is_asked_again_when_it_says_so(
    shaky: KubernetesResources, fault_proxy: FaultProxy, namespace: str
):
    fault_proxy.answer(429, retry_after=1, times=2)
    await shaky.create(upstream(namespace))
    posts = [each.at for each in fault_proxy.seen if each.method == "POST"]
    assert len(posts) == 3
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(posts))


async def test_a_server_that_stays_busy_is_not_waited_for_longer_than_wanted(
    shaky: KubernetesResources, fault_proxy: FaultProxy, namespace: str
):
    fault_proxy.answer(429, retry_after=60)
    with pytest.raises(ResourceStoreUnavailableError) as refused:
        await shaky.create(upstream(namespace))
    assert (refused.value.retry_after, refused.value.unwritten) == (60, True)
    assert len([each for each in fault_proxy.seen if each.method == "POST"]) == 1


@pytest.mark.parametrize("code", [500, 503, 504])
async def test_a_write_without_a_clear_answer_is_not_repeated(
    shaky: KubernetesResources, fault_proxy: FaultProxy, namespace: str, code: int
):
    fault_proxy.answer(code, which=_is_post)
    with pytest.raises(ResourceStoreUnavailableError, match=f"answers {code}") as unclear:
        await shaky.create(upstream(namespace))
    assert not unclear.value.unwritten
    assert len([each for each in fault_proxy.seen if _is_post(each)]) == 1


async def test_a_silent_server_is_given_up(
    shaky: KubernetesResources, fault_proxy: FaultProxy, namespace: str
):
    fault_proxy.black_hole()
    with pytest.raises(ResourceStoreUnavailableError, match="does not answer"):
        await shaky.create(upstream(namespace))


async def test_a_list_in_pages_is_whole_even_if_a_page_came_too_late(
    shaky: KubernetesResources, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    names = [f"u-{number:04}" for number in range(501)]
    for start in range(0, len(names), 50):
        await asyncio.gather(
            *(
                kube.create(UPSTREAMS, namespace, upstream(namespace, name))
                for name in names[start : start + 50]
            )
        )
    fault_proxy.answer(410, which=lambda seen: "continue" in seen.query, times=1)
    found = await shaky.list("Upstream", namespace)
    assert [each.ref.name for each in found] == names


async def test_every_request_carries_the_token_of_that_moment(
    fault_proxy: FaultProxy, namespace: str, tmp_path
):
    token = tmp_path / "token"
    token.write_text("stale")
    path = fault_proxy.kubeconfig_at(tmp_path / "kubeconfig", {"tokenFile": str(token)})
    access = await load_access(path, None, {})
    async with KubernetesResources(access, structlog.get_logger()) as client:
        with pytest.raises(ResourceStoreUnavailableError, match="401"):
            await client.list("Upstream", namespace)
        token.write_text(fault_proxy._files.admin_token)
        assert await client.list("Upstream", namespace) == ()
        assert fault_proxy.seen[-1].user_agent == "fluxgate-admin"


def _is_post(seen: Seen) -> bool:
    return seen.method == "POST"
