"""A watch outlives whatever happens on the way to the API server, and tells each change once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import structlog
from cluster.resource_clients.conftest import SILENCE
from cluster.resource_clients.test_writing import UPSTREAMS, upstream, write_status
from support.cluster import OwnControlPlane
from support.fault_proxy import FaultProxy, Seen

from fluxgate.ports import ResourceChange
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources
from fluxgate_operator.resource_clients.kubernetes_watch import WatchSettings

TIMEOUT = 60.0


@dataclass
class Following:
    """What a watch told so far."""

    stream: AsyncIterator[ResourceChange]
    news: list[ResourceChange] = field(default_factory=list)

    async def told(self, count: int = 1) -> list[tuple[str, str, str]]:
        """The next news, as (what, name, host of the first target)."""
        async with asyncio.timeout(TIMEOUT):
            found = [await anext(self.stream) for _ in range(count)]
        self.news += found
        return [(each.type.value, each.ref.name if each.ref else "", _host(each)) for each in found]


def _host(change: ResourceChange) -> str:
    if change.stored is None:
        return ""
    return change.stored.document["spec"]["targets"][0]["host"]


@contextlib.asynccontextmanager
async def following(client: KubernetesResources) -> AsyncIterator[Following]:
    stream = client.watch(["Upstream"])
    async with contextlib.aclosing(stream):
        yield Following(stream)


def watches(seen: Seen) -> bool:
    return seen.is_watch


async def put(kube: KubeClient, namespace: str, name: str, host: str) -> None:
    patch = {"spec": {"targets": [{"host": host, "port": 80}]}}
    await kube.merge_patch(UPSTREAMS, namespace, name, patch)


@pytest.fixture
async def followed(
    shaky: KubernetesResources, kube: KubeClient, namespace: str, fault_proxy: FaultProxy
) -> AsyncIterator[Following]:
    """A watch through the proxy that knows one object, and has its stream."""
    await kube.create(UPSTREAMS, namespace, upstream(namespace))
    async with following(shaky) as found:
        assert await found.told(2) == [("Present", "a", "192.0.2.1"), ("Synced", "", "")]
        # the stream is asked for right after; whatever a test breaks has to be there
        reading = asyncio.create_task(found.told())
        await asyncio.to_thread(fault_proxy.wait_for, watches)
        await put(kube, namespace, "a", "192.0.2.2")
        assert await reading == [("Changed", "a", "192.0.2.2")]
        yield found


async def test_a_status_is_no_news(followed: Following, kube: KubeClient, namespace: str):
    await write_status(kube, namespace, "Accepted")
    await put(kube, namespace, "a", "192.0.2.3")
    assert await followed.told() == [("Changed", "a", "192.0.2.3")]


async def test_a_cut_stream_goes_on_where_it_was(
    followed: Following, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    await put(kube, namespace, "a", "192.0.2.9")
    assert await followed.told() == [("Changed", "a", "192.0.2.9")]
    before = len([each for each in fault_proxy.seen if not each.is_watch])
    fault_proxy.refuse()
    await put(kube, namespace, "a", "192.0.2.3")
    await put(kube, namespace, "a", "192.0.2.4")
    await kube.create(UPSTREAMS, namespace, upstream(namespace, "b"))
    fault_proxy.heal()
    assert await followed.told(3) == [
        ("Changed", "a", "192.0.2.3"),
        ("Changed", "a", "192.0.2.4"),
        ("Changed", "b", "192.0.2.1"),
    ]
    assert len([each for each in fault_proxy.seen if not each.is_watch]) == before  # no list


@pytest.mark.parametrize("way", ["an event in the stream", "an answer"])
async def test_after_a_version_too_old_only_differences_are_told(
    followed: Following, kube: KubeClient, fault_proxy: FaultProxy, namespace: str, way: str
):
    await kube.create(UPSTREAMS, namespace, upstream(namespace, "b"))
    await kube.create(UPSTREAMS, namespace, upstream(namespace, "c"))
    assert len(await followed.told(2)) == 2
    assert fault_proxy.strand(watches) == 1  # what follows does not come by the stream there is
    await put(kube, namespace, "a", "192.0.2.3")
    await kube.delete(UPSTREAMS, namespace, "b")
    await kube.create(UPSTREAMS, namespace, upstream(namespace, "d"))
    fault_proxy.answer(410, which=watches, times=1, in_stream=way == "an event in the stream")
    fault_proxy.cut()
    told = await followed.told(3)
    assert sorted(told) == [
        ("Changed", "a", "192.0.2.3"),
        ("Changed", "d", "192.0.2.1"),
        ("Deleted", "b", ""),
    ]
    await put(kube, namespace, "c", "192.0.2.9")
    assert await followed.told() == [("Changed", "c", "192.0.2.9")]


async def test_a_stream_that_went_silent_is_replaced(
    followed: Following, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    assert fault_proxy.strand(watches) == 1
    await put(kube, namespace, "a", "192.0.2.3")
    began = asyncio.get_running_loop().time()
    assert await followed.told() == [("Changed", "a", "192.0.2.3")]
    assert asyncio.get_running_loop().time() - began < 10 * SILENCE


async def test_a_busy_server_is_asked_for_the_stream_when_it_says_so(
    followed: Following, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    fault_proxy.answer(429, retry_after=2, which=watches, times=1)
    count = len([each for each in fault_proxy.seen if each.is_watch])
    fault_proxy.cut()
    await put(kube, namespace, "a", "192.0.2.3")
    assert await followed.told() == [("Changed", "a", "192.0.2.3")]
    refused, answered = [each.at for each in fault_proxy.seen if each.is_watch][count : count + 2]
    assert answered - refused >= 2.0


async def test_a_watch_that_begins_without_a_server_waits_for_it(
    shaky: KubernetesResources, kube: KubeClient, fault_proxy: FaultProxy, namespace: str
):
    await kube.create(UPSTREAMS, namespace, upstream(namespace))
    fault_proxy.answer(503)
    async with following(shaky) as found:
        reading = asyncio.create_task(found.told(2))
        await asyncio.to_thread(fault_proxy.wait_for, lambda _seen: True, count=3)
        fault_proxy.heal()
        assert await reading == [("Present", "a", "192.0.2.1"), ("Synced", "", "")]


async def test_a_server_that_was_started_again_is_followed_again(
    own_control_plane: OwnControlPlane,
):
    access = await load_access(own_control_plane.kubeconfig, None, {})
    settings = WatchSettings(silence=SILENCE, longest_pause=0.5)
    async with (
        KubernetesResources(access, structlog.get_logger(), watch=settings) as client,
        KubeClient(access) as kube,
    ):
        await kube.create(UPSTREAMS, "default", upstream("default"))
        async with following(client) as found:
            assert await found.told(2) == [("Present", "a", "192.0.2.1"), ("Synced", "", "")]
            await asyncio.to_thread(own_control_plane.restart_api_server)
            await put(kube, "default", "a", "192.0.2.2")
            await kube.create(UPSTREAMS, "default", upstream("default", "b"))
            assert sorted(await found.told(2)) == [
                ("Changed", "a", "192.0.2.2"),
                ("Changed", "b", "192.0.2.1"),
            ]
