"""Replicas that find one another by Leases in the real API server, and talk over real gRPC."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from support.certificates import Authority
from support.replica import QUICK, WORLD, Replica, serving
from support.statuses import until

from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator import SetAside, spec_digest
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import LEASES, PODS
from fluxgate_operator.replicas import PeerCredentials
from fluxgate_operator.replicas.members import Membership
from fluxgate_operator.replicas.report import encode_hello
from fluxgate_xds.credentials import TLSFiles
from fluxgate_xds.server import XdsServerSettings

ROUTE = ObjectRef("Route", "default", "a")
CHANGED = WORLD.replace("value: /a", "value: /b")
NEVER = "spiffe://cluster.local/gateway/main/node/n"
CONTROLLER = "spiffe://cluster.local/controller"


async def test_a_route_is_programmed_when_the_nodes_of_every_replica_serve_it(
    kube: KubeClient, namespace: str
) -> None:
    one, two = Replica(kube, namespace, "one"), Replica(kube, namespace, "two")
    for each in (one, two):
        each.apply(WORLD)
    async with serving(one), serving(two):
        await until(lambda: one.version() and one.version() == two.version())
        one.node("n1", one.version())
        far = two.node("n2", two.version())
        await until(one.replicas.nodes)
        await until(lambda: one.programmed().status)
        await until(lambda: two.programmed().status)
        for each in (one, two):
            each.apply(CHANGED)
        await until(lambda: not one.programmed().status and one.version() == two.version())
        one.node("n1", one.version())
        await until(lambda: one.programmed().message == "1 of 2 nodes serve it")
        far.update({}, two.version())
        await until(lambda: one.programmed().status and two.programmed().status)


async def test_what_lags_at_another_replica_is_named_with_its_reason(
    kube: KubeClient, namespace: str
) -> None:
    one, two = Replica(kube, namespace, "one"), Replica(kube, namespace, "two")
    for each in (one, two):
        each.apply(WORLD)
    async with serving(one), serving(two):
        await until(two.version)
        two.node("n2")
        await until(lambda: one.replicas.nodes() and one.replicas.nodes()[0].lag)
        (lag,) = one.tracker.report(one.store.revision).lagging
        assert (lag.node, lag.message) == (
            "n2",
            "at replica two: connected, no acknowledgement yet",
        )


async def test_a_node_that_moves_to_another_replica_counts_once(
    kube: KubeClient, namespace: str
) -> None:
    one, two = Replica(kube, namespace, "one"), Replica(kube, namespace, "two")
    for each in (one, two):
        each.apply(WORLD)
    async with serving(one), serving(two):
        await until(lambda: one.version() and two.version())
        one.node("n", "older")
        await until(two.replicas.nodes)
        two.node("n", two.version())  # the first connection is half open still
        await until(one.replicas.nodes)
        await until(lambda: one.programmed().status and two.programmed().status)
        assert len(list(one.tracker.serving())) == len(list(two.tracker.serving())) == 1


async def test_a_replica_that_leaves_is_gone_at_once_with_its_nodes_and_its_lease(
    kube: KubeClient, namespace: str
) -> None:
    # no Lease expires in this test
    one, two = (
        Replica(kube, namespace, name, settings=replace(QUICK, duration=600))
        for name in ("one", "two")
    )
    one.apply(WORLD)
    async with serving(one):
        async with serving(two):
            two.apply(WORLD)
            await until(two.version)
            two.node("n2", two.version())
            await until(one.replicas.nodes)
        await until(lambda: not one.replicas.nodes())
        names = {each["metadata"]["name"] for each in (await kube.list(LEASES, namespace)).items}
        assert names == {"fluxgate-replica-one"}


async def test_nodes_of_a_replica_that_left_count_until_they_had_time_to_come_to_another(
    kube: KubeClient, namespace: str
) -> None:
    one = Replica(kube, namespace, "one", settings=replace(QUICK, linger=3.0))
    two = Replica(kube, namespace, "two")
    one.apply(WORLD)
    async with serving(one):
        async with serving(two):
            two.apply(WORLD)
            await until(two.version)
            two.node("n2", two.version())
            await until(one.replicas.nodes)
        await until(lambda: not one.replicas.peers)
        assert [each.id for each in one.replicas.nodes()] == ["n2"]

        await until(lambda: not one.replicas.nodes())


async def test_a_replica_that_dies_stands_until_its_lease_expires_and_is_buried(
    kube: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # long enough that it has not expired by when the server of a busy machine has stopped
    one, two = (
        Replica(kube, namespace, name, settings=replace(QUICK, duration=5))
        for name in ("one", "two")
    )
    for each in (one, two):
        each.apply(WORLD)

    async def dies_without_a_word() -> None:
        raise KubeError("the process is gone")

    monkeypatch.setattr(two.replicas._membership, "leave", dies_without_a_word)
    async with serving(one):
        async with serving(two):
            await until(two.version)
            two.node("n2", two.version())
            await until(one.replicas.nodes)
        assert one.replicas.nodes(), "what it said last stands"
        await until(lambda: not one.replicas.nodes())
        names: set[str] = {""}
        async with asyncio.timeout(60):
            while names != {"fluxgate-replica-one"}:
                listing = await kube.list(LEASES, namespace)
                names = {each["metadata"]["name"] for each in listing.items}


async def test_its_lease_belongs_to_its_pod_so_that_the_last_one_leaves_none(
    kube: KubeClient, namespace: str
) -> None:
    container = {"name": "controller", "image": "fluxgate"}
    pod = {"metadata": {"name": "one"}, "spec": {"containers": [container]}}
    made = await kube.create(PODS, namespace, {"apiVersion": "v1", "kind": "Pod", **pod})
    uid = made["metadata"]["uid"]
    membership = Membership(kube, namespace, "one", 15.0, uid)
    for _ in range(2):
        await membership.renew("192.0.2.1:18001")
        (lease,) = await membership.others()
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": uid}
        assert lease["metadata"]["ownerReferences"] == [owner]


async def test_what_the_envoys_of_one_replica_reject_is_set_aside_by_all_until_it_changes(
    kube: KubeClient, namespace: str
) -> None:
    one, two = Replica(kube, namespace, "one"), Replica(kube, namespace, "two")
    for each in (one, two):
        each.apply(WORLD)
    async with serving(one), serving(two):
        await until(lambda: one.version() and one.version() == two.version())
        whole = one.version()
        aside = SetAside(spec_digest(one.store.freeze().routes[ROUTE]), "no such filter")
        one.reconciler.set_objects_aside({ROUTE: aside})
        await until(lambda: two.version() not in ("", whole))
        await until(lambda: one.version() == two.version() != whole)
        assert two.programmed().reason is Reason.ENVOY_REJECTED
        assert two.programmed().message == "no such filter"
        for each in (one, two):
            each.apply(CHANGED)
        await until(lambda: not one.reconciler.set_aside and not two.reconciler.set_aside)
        await until(lambda: one.version() == two.version())
        assert two.programmed().reason is Reason.PENDING


def secured(
    folder: Path, authority: Authority, name: str, identity: str
) -> tuple[XdsServerSettings, PeerCredentials]:
    """A server, and what its process shows to others: the certificate of ``identity``."""
    server = authority.issue("controller.example.com")
    client = authority.issue(identity, client=True)
    paths = [folder / f"{name}.{each}" for each in ("crt", "key", "ca")]
    for path, pem in zip(paths, (server.certificate, server.key, authority.pem), strict=True):
        path.write_bytes(pem)
    credentials = PeerCredentials(
        lambda: grpc.ssl_channel_credentials(authority.pem, client.key, client.certificate),
        "controller.example.com",
        (CONTROLLER,),
    )
    return XdsServerSettings(port=0, tls=TLSFiles(*paths)), credentials


async def test_over_tls_only_a_controller_is_told_anything(
    kube: KubeClient, namespace: str, tmp_path: Path
) -> None:
    authority = Authority()
    replicas = []
    for name in ("one", "two"):
        server, credentials = secured(tmp_path, authority, name, CONTROLLER)
        replicas.append(Replica(kube, namespace, name, server=server, credentials=credentials))
    one, two = replicas
    for each in replicas:
        each.apply(WORLD)
    async with serving(one), serving(two):
        await until(lambda: one.replicas.peers and two.replicas.peers)
        _, intruder = secured(tmp_path, authority, "node", NEVER)
        options = [("grpc.ssl_target_name_override", intruder.server_name)]
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{one.port}", intruder.channel(), options=options
        ) as channel:
            watch = channel.unary_stream("/fluxgate.v1alpha1.Replicas/Watch", None, None)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await watch(encode_hello("three")).read()
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
