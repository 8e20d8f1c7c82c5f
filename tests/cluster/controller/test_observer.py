"""A control plane that only looks, beside a real controller and a real Envoy: what the admin API runs on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from cluster.controller.conftest import Site
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import EnvoyProcess
from support.statuses import until

from fluxgate.ports import Pending, Proposal
from fluxgate.resources import ObjectRef
from fluxgate.status import ConditionType
from fluxgate_operator.observer import Observer
from fluxgate_operator.settings import ClusterSettings, ControllerSettings

pytestmark = pytest.mark.envoy


@asynccontextmanager
async def observing(site: Site, *, insecure: bool = True) -> AsyncIterator[Observer]:
    settings = ControllerSettings(
        site.namespace,
        "admin-0",
        cluster=ClusterSettings(kubeconfig=site.plane.kubeconfig, namespaces=(site.namespace,)),
        http_port=0,
        insecure=insecure,
        service=f"ctl-{site.namespace}",
    )
    observer = Observer(settings, structlog.get_logger(), os.environ)
    await observer.start()
    try:
        async with asyncio.timeout(60):
            await observer.ready.wait()
        yield observer
    finally:
        await observer.stop()


@pytest.fixture
async def one(site: Site) -> AsyncIterator[ControllerProcess]:
    def apply() -> None:
        site.apply(site.gateway, site.backend("echo"), site.route("a", "/a", "echo"))

    await asyncio.to_thread(apply)
    running = controller(site.plane.kubeconfig, site.namespace, identity="one")
    process = await asyncio.to_thread(running.__enter__)
    yield process
    await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture
async def envoy(site: Site, one: ControllerProcess) -> AsyncIterator[EnvoyProcess]:
    process = envoy_of(site.key, one)
    await asyncio.to_thread(process.__enter__)
    yield process
    await asyncio.to_thread(process.__exit__, None, None, None)


def written(site: Site, *documents: str) -> list[Pending]:
    """Apply; what a control plane has to have seen then."""
    site.apply(*documents)
    found = json.loads(
        site.plane.kubectl("get", "-n", site.namespace, "routes.gateway.fluxgate.io", "-o", "json")
    )
    return [
        Pending(
            ObjectRef("Route", site.namespace, each["metadata"]["name"]),
            each["metadata"]["resourceVersion"],
        )
        for each in found["items"]
    ]


async def test_a_write_is_proven_by_the_nodes_of_a_controller(
    site: Site, one: ControllerProcess, envoy: EnvoyProcess
) -> None:
    async with observing(site) as observer:
        plane = observer.parts.plane
        await until(lambda: plane.nodes() and not plane.nodes()[0].lag)
        (node,) = plane.nodes()
        assert (node.id, node.replica, node.connected) == ("envoy-0", "one", True)
        assert "envoy" in node.agent

        for number in range(3):
            name = f"new{number}"
            writes = await asyncio.to_thread(written, site, site.route(name, f"/{name}", "echo"))
            revision = await plane.seen(writes, 20)
            assert revision is not None
            ref = ObjectRef("Route", site.namespace, name)
            assert plane.resources().get(ref) is not None
            found = await plane.wait(revision, 20)
            assert found.complete, found
            assert await asyncio.to_thread(site.status, f"/{name}") == 200

        conditions = {each.type: each for each in plane.statuses()[ref].conditions}
        assert conditions[ConditionType.PROGRAMMED].status


async def test_a_node_of_a_controller_that_stands_still_is_named(
    site: Site, one: ControllerProcess, envoy: EnvoyProcess
) -> None:
    async with observing(site) as observer:
        plane = observer.parts.plane
        await until(lambda: plane.nodes() and not plane.nodes()[0].lag)
        os.kill(envoy.pid, signal.SIGSTOP)
        try:
            writes = await asyncio.to_thread(written, site, site.route("new", "/new", "echo"))
            revision = await plane.seen(writes, 20)
            assert revision is not None
            found = await plane.wait(revision, 0.5)
            assert [each.node for each in found.lagging] == ["envoy-0"]
            assert "at replica one" in found.lagging[0].message
            await until(lambda: plane.nodes()[0].lag)
        finally:
            os.kill(envoy.pid, signal.SIGCONT)
        assert (await plane.wait(revision, 30)).complete


async def test_it_writes_nothing_to_the_cluster(site: Site, one: ControllerProcess) -> None:
    async with observing(site) as observer:
        await until(lambda: observer.parts.replicas.peers == ("one",))
        listed = await asyncio.to_thread(
            site.plane.kubectl, "get", "-n", site.namespace, "leases", "-o", "name"
        )
        assert "admin-0" not in listed
        assert "fluxgate-replica-one" in listed


async def test_a_trial_finds_a_service_and_a_secret_that_nothing_referred_to_so_far(
    site: Site,
) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\n"
        "spec: {ports: [{port: 80}], selector: {app: shop}}\n"
    )
    ca = "apiVersion: v1\nkind: Secret\nmetadata: {name: ca}\nstringData: {ca.crt: nonsense}\n"
    await asyncio.to_thread(site.apply, site.gateway, service, ca)

    def routed(name: str, secret: str) -> Proposal:
        spec = {
            "service": {"name": name, "port": 80},
            "tls": {"caCertificateRef": {"name": secret}},
        }
        document = {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": "Backend",
            "metadata": {"name": "b", "namespace": site.namespace},
            "spec": spec,
        }
        return Proposal(ObjectRef("Backend", site.namespace, "b"), document)

    async with observing(site) as observer:
        trials = observer.parts.trials
        there = await trials.try_out([routed("shop", "ca")])
        absent = await trials.try_out([routed("gone", "nobody")])
        store = observer.parts.engine.store

    said = " ".join(each.message for each in there.findings)
    assert "does not exist" not in said
    assert "Secret" in said, "nonsense is no certificate, and was looked at"
    assert "does not exist" in " ".join(each.message for each in absent.findings)
    assert not store.freeze().secrets
    assert not store.freeze().services


async def test_it_hears_controllers_by_mutual_tls_with_the_authority_they_made(
    site: Site,
) -> None:
    await asyncio.to_thread(site.apply, site.gateway)
    options = ("--service", f"ctl-{site.namespace}", "--peer-port", "0")
    running = controller(
        site.plane.kubeconfig, site.namespace, *options, identity="one", insecure=False
    )
    await asyncio.to_thread(running.__enter__)
    try:
        async with observing(site, insecure=False) as observer:
            await until(lambda: observer.parts.replicas.peers == ("one",))
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
