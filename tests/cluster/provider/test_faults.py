"""Whatever happens to the API server or the way to it, nothing is missed in the end.

Times are short here: a back-off ends at 3 s in any case, and a silent watch is given up after 2 s
instead of 68. A fault lasts until enough attempts have met it. ``FLUXGATE_LONG_FAULTS=1`` keeps it up
for two minutes at least, longer than kopf by itself would live:

    FLUXGATE_LONG_FAULTS=1 .venv/bin/python -m pytest tests/cluster/provider/test_faults.py -k outlived
"""

from __future__ import annotations

import asyncio
import os

import pytest
from support.fault_proxy import FaultProxy
from support.statuses import until_said

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import INGRESSES, OUR_TYPES

from .objects import upstream

UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")
FAULT_SECONDS = 120.0 if os.environ.get("FLUXGATE_LONG_FAULTS") else 0.0
ATTEMPTS = 4

pytestmark = pytest.mark.timeout(400)


def watches(path: str):
    return lambda seen: seen.is_watch and seen.path == path


def lists(path: str):
    return lambda seen: not seen.is_watch and seen.path == path


def ours(path: str):
    return lambda seen: lists(path)(seen) and seen.user_agent == "fluxgate"


def kopfs(path: str):
    return lambda seen: lists(path)(seen) and seen.user_agent == "fluxgate-watch"


def count(proxy: FaultProxy, which) -> int:
    return sum(map(which, proxy.seen))


async def met(watched, attempts):
    """Wait until some more attempts have met the fault; of the long variant, for its time."""
    loop = asyncio.get_running_loop()
    before, since = attempts(), loop.time()
    await watched.until(
        lambda: attempts() >= before + ATTEMPTS and loop.time() - since >= FAULT_SECONDS,
        FAULT_SECONDS + 90,
    )


async def following(watched, proxy):
    """kopf watches, and the list of ours that follows is made: what happens next, only kopf sees."""
    await watched.until(lambda: count(proxy, watches(UPSTREAMS.path())))
    await watched.until(lambda: count(proxy, ours(UPSTREAMS.path())) >= 2)
    asked = lambda seen: seen.user_agent == "fluxgate"  # noqa: E731
    await watched.until(lambda: watched.answers.total() == count(proxy, asked))


async def changes_meanwhile(kube, namespace):
    """One is deleted, one is made: neither may be missed."""
    await kube.delete(UPSTREAMS, namespace, "old")
    await kube.create(UPSTREAMS, namespace, upstream("new"))


async def caught_up(watched, namespace):
    await watched.until(lambda: watched.names("Upstream", namespace) == {"new"})


async def still_follows(watched, kube, namespace):
    await kube.create(UPSTREAMS, namespace, upstream("later"))
    await watched.until(lambda: watched.has("Upstream", namespace, "later"))


@pytest.fixture
async def old(kube, namespace):
    await kube.create(UPSTREAMS, namespace, upstream("old"))


async def test_objects_deleted_before_a_410_relist_are_gone(
    start, fault_proxy, kube, namespace, old
):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        which = watches(UPSTREAMS.path())
        after = 0  # the first version at which both changes have been made
        too_old = lambda seen: which(seen) and int(seen.query["resourceVersion"]) < after  # noqa: E731
        # no watch gets through until both changes are made, and then none that would show them
        fault_proxy.answer(503, which=lambda seen: which(seen) and not after)
        fault_proxy.answer(410, which=too_old, in_stream=True)
        fault_proxy.cut()
        attempts = count(fault_proxy, which)
        await watched.until(lambda: count(fault_proxy, which) > attempts)
        await kube.delete(UPSTREAMS, namespace, "old")
        made = await kube.create(UPSTREAMS, namespace, upstream("new"))
        assert watched.names("Upstream", namespace) == {"old"}
        seen, listed = len(fault_proxy.seen), count(fault_proxy, kopfs(UPSTREAMS.path()))
        after = int(made["metadata"]["resourceVersion"])
        await caught_up(watched, namespace)
        assert any(map(too_old, fault_proxy.seen[seen:]))
        assert count(fault_proxy, kopfs(UPSTREAMS.path())) > listed
        await still_follows(watched, kube, namespace)
        assert watched.provider.health().watch_restarts == 0


async def test_a_relist_of_the_watch_is_followed_by_a_list_of_ours(
    start, fault_proxy, kube, namespace, old
):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        which = ours(UPSTREAMS.path())
        before = count(fault_proxy, which)
        await watched.until(lambda: fault_proxy.inject_error(410, watches(UPSTREAMS.path())))
        await watched.until(lambda: count(fault_proxy, which) > before)


async def test_a_cut_watch_goes_on(start, fault_proxy, kube, namespace, old):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        fault_proxy.cut()
        await changes_meanwhile(kube, namespace)
        await caught_up(watched, namespace)


async def test_a_black_holed_watch_is_noticed(start, fault_proxy, kube, namespace, old):
    async with start(fault_proxy.kubeconfig, watch_silence_seconds=2.0) as watched:
        await following(watched, fault_proxy)
        before = count(fault_proxy, watches(UPSTREAMS.path()))
        fault_proxy.black_hole()
        await changes_meanwhile(kube, namespace)
        # kopf gives the silent stream up and asks anew, which is as deaf
        await watched.until(lambda: count(fault_proxy, watches(UPSTREAMS.path())) > before)
        assert watched.names("Upstream", namespace) == {"old"}
        fault_proxy.heal()
        await caught_up(watched, namespace)
        await still_follows(watched, kube, namespace)


async def test_refused_connections_are_outlived(start, fault_proxy, kube, namespace, old):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        fault_proxy.refuse()
        await changes_meanwhile(kube, namespace)
        watched.provider.resync("its lists shall meet the refusal, too")
        kinds = len(watched.provider.health().objects)
        await met(watched, lambda: watched.answers[0] // kinds)
        assert "Cannot connect" in watched.provider.health().problems["Upstream"]
        assert watched.names("Upstream", namespace) == {"old"}
        fault_proxy.heal()
        await caught_up(watched, namespace)
        await still_follows(watched, kube, namespace)
        assert watched.provider.health().watch_restarts == 0


@pytest.mark.parametrize("code", [503, 403])
async def test_answers_of_trouble_are_outlived(start, fault_proxy, kube, namespace, old, code):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        fault_proxy.answer(code)
        fault_proxy.cut()
        await changes_meanwhile(kube, namespace)
        await met(watched, lambda: count(fault_proxy, watches(UPSTREAMS.path())))
        assert watched.names("Upstream", namespace) == {"old"}
        fault_proxy.heal()
        await caught_up(watched, namespace)
        await still_follows(watched, kube, namespace)
        assert watched.provider.health().watch_restarts == 0


async def test_retry_after_is_honoured(start, fault_proxy, kube, namespace, old):
    which = ours(UPSTREAMS.path())
    fault_proxy.answer(429, retry_after=2, which=which, times=1)
    async with start(fault_proxy.kubeconfig) as watched:
        assert watched.answers[429] == 1
        assert watched.names("Upstream", namespace) == {"old"}
        # by itself it would have tried again after 0.2 s
        refused, answered = [seen.at for seen in fault_proxy.seen if which(seen)][:2]
        assert answered - refused >= 2.0


async def test_an_error_in_the_stream_ends_kopf_and_nothing_else(
    start, fault_proxy, kube, namespace, old
):
    async with start(fault_proxy.kubeconfig) as watched:
        await following(watched, fault_proxy)
        await watched.until(lambda: fault_proxy.inject_error(500, watches(UPSTREAMS.path())))
        await changes_meanwhile(kube, namespace)
        await watched.until(lambda: watched.provider.health().watch_restarts == 1)
        await caught_up(watched, namespace)
        await still_follows(watched, kube, namespace)


async def test_a_rotated_token_is_taken_up(
    start, control_plane, fault_proxy, kube, namespace, old, tmp_path
):
    token = tmp_path / "token"
    token.write_text(control_plane.admin_token)
    kubeconfig = fault_proxy.kubeconfig_at(tmp_path / "kubeconfig", {"tokenFile": str(token)})
    async with start(kubeconfig) as watched:
        await following(watched, fault_proxy)
        fresh = control_plane.token_for(namespace, "default")
        fault_proxy.answer(401, which=lambda seen: seen.token != fresh)
        fault_proxy.cut()
        control_plane.kubectl(
            "create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin",
            f"--serviceaccount={namespace}:default",
        )  # fmt: skip
        await changes_meanwhile(kube, namespace)
        await watched.until(lambda: any(seen.token != fresh for seen in fault_proxy.seen[-3:]))
        token.write_text(fresh)
        await caught_up(watched, namespace)
        await still_follows(watched, kube, namespace)
        control_plane.kubectl("delete", "clusterrolebinding", namespace)


async def test_a_kind_without_rights_is_named_and_holds_nobody_up(
    start, fault_proxy, kube, namespace, old
):
    path = "/apis/networking.k8s.io/v1/ingresses"
    fault_proxy.answer(403, which=lambda seen: seen.path == path)

    class Ears:
        def put(self, document): ...

        def drop(self, namespace, name): ...

    async with start(fault_proxy.kubeconfig, intakes={INGRESSES: Ears()}) as watched:
        assert "403" in watched.provider.health().problems["Ingress"]
        await changes_meanwhile(kube, namespace)
        await caught_up(watched, namespace)


async def test_a_namespace_is_watched_with_rights_in_it_only(start, control_plane, kube, namespace):
    other = control_plane.new_namespace()
    await kube.create(UPSTREAMS, other, upstream("elsewhere"))
    control_plane.kubectl("create", "role", "watch", "-n", namespace, "--verb=get,list,watch",
                          "--resource=*.gateway.fluxgate.io,secrets,services,endpointslices.discovery.k8s.io")  # fmt: skip
    control_plane.kubectl("create", "rolebinding", "watch", "-n", namespace, "--role=watch",
                          f"--serviceaccount={namespace}:default")  # fmt: skip
    control_plane.wait_for_right(namespace, "default", "watch", "secrets")
    kubeconfig = control_plane.kubeconfig_for(namespace, "default")
    async with start(kubeconfig, namespaces=(namespace,)) as watched:
        assert not watched.provider.health().problems
        await kube.create(UPSTREAMS, namespace, upstream("new"))
        await caught_up(watched, namespace)
        assert not watched.names("Upstream", other)


async def created(kube: KubeClient, namespace: str) -> bool:
    try:
        await kube.create(UPSTREAMS, namespace, upstream("new"))
    except KubeError:
        return False
    return True


async def test_a_restart_of_the_api_server_loses_nothing(start, own_control_plane):
    plane = own_control_plane
    namespace = plane.new_namespace()
    async with KubeClient(await load_access(plane.kubeconfig, None, {})) as kube:
        await kube.create(UPSTREAMS, namespace, upstream("old"))
        async with start(plane.kubeconfig) as watched:
            await watched.until(lambda: watched.provider.health().watching)
            await asyncio.to_thread(plane.restart_api_server)
            # storage is not ready when /readyz is: 429 and 503 for a moment
            await until_said(lambda: created(kube, namespace), bool)
            await kube.delete(UPSTREAMS, namespace, "old")
            await caught_up(watched, namespace)


async def test_a_paused_etcd_is_waited_for(start, own_control_plane):
    plane = own_control_plane
    namespace = plane.new_namespace()
    async with KubeClient(await load_access(plane.kubeconfig, None, {}), timeout=60) as kube:
        await kube.create(UPSTREAMS, namespace, upstream("old"))
        async with start(plane.kubeconfig) as watched:
            await watched.until(lambda: watched.provider.health().watching)
            plane.pause("etcd")
            changing = asyncio.create_task(changes_meanwhile(kube, namespace))
            watched.provider.resync("the test asks for it")
            await watched.until(lambda: "Upstream" in watched.provider.health().problems)
            assert watched.names("Upstream", namespace) == {"old"}
            plane.resume("etcd")
            await changing
            await caught_up(watched, namespace)


async def test_a_kind_that_goes_and_comes_back_is_followed(start, own_control_plane):
    plane = own_control_plane
    namespace = plane.new_namespace()
    name = "upstreams.gateway.fluxgate.io"
    async with KubeClient(await load_access(plane.kubeconfig, None, {})) as kube:
        await kube.create(UPSTREAMS, namespace, upstream("old"))
        async with start(plane.kubeconfig) as watched:
            await watched.until(lambda: watched.provider.health().watching)
            await asyncio.to_thread(plane.kubectl, "delete", "crd", name)
            await watched.until(lambda: not watched.names("Upstream", namespace))
            await watched.until(lambda: "Upstream" in watched.provider.health().problems)
            await asyncio.to_thread(plane.install_crds)
            await kube.create(UPSTREAMS, namespace, upstream("new"))
            await caught_up(watched, namespace)
            await watched.until(lambda: not watched.provider.health().problems)
            await still_follows(watched, kube, namespace)
