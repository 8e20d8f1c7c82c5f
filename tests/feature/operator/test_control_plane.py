"""Objects in, responses and statuses out: the real reconciler, translator, builder and xDS server.

The nodes are gRPC clients under the test's control, in the manner of Contour's feature tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_v3
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from google.protobuf.message import Message
from support.control_plane import ControlPlane, control_plane
from support.standalone import API, GATEWAY, route

from fluxgate.resources import ObjectRef
from fluxgate.status import ConditionType, Reason
from fluxgate.xds import names, typeurl
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.propagation import LagReason


class Refusing:
    """Stands in for the dry run, because no Envoy takes part here: refuses by a word.

    ``tests/envoy/test_nack_isolation.py`` has the real one.
    """

    def __init__(self, word: bytes = b"") -> None:
        self.word = word

    async def validate(self, bootstrap: Message) -> Validation:
        if self.word and self.word in bootstrap.SerializeToString():
            return Validation(Verdict.REJECTED, f"no {self.word.decode()} here")
        return Validation(Verdict.OK)


class Node:
    """A node that subscribes like Envoy and acknowledges everything, unless told otherwise.

    ``refuse`` are words to reject the next updates of the route tables with; while
    ``free`` is not set, nothing is answered at all.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._writing = asyncio.Lock()  # gRPC takes one message at a time
        self.resources: dict[str, dict[str, bytes]] = {}
        self.refuse = ""
        self.free = asyncio.Event()
        self.free.set()
        self.updates: list[discovery_v3.DeltaDiscoveryResponse] = []

    async def subscribe(self, url: str, *wanted: str) -> None:
        request = discovery_v3.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=wanted)
        request.node.id, request.node.cluster = "node-1", "main"
        await self._write(request)

    async def answer(self) -> None:
        """Answer whatever comes, until cancelled."""
        while (response := await self._stream.read()) is not grpc.aio.EOF:
            await self.free.wait()
            request = discovery_v3.DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce
            )
            if self.refuse and response.type_url == typeurl.ROUTE:
                request.error_detail.message = self.refuse
            else:
                self._take(response)
            await self._write(request)

    async def _write(self, request: discovery_v3.DeltaDiscoveryRequest) -> None:
        async with self._writing:
            await self._stream.write(request)

    def _take(self, response: discovery_v3.DeltaDiscoveryResponse) -> None:
        self.updates.append(response)
        held = self.resources.setdefault(response.type_url, {})
        held.update({each.name: each.resource.value for each in response.resources})
        for gone in response.removed_resources:
            held.pop(gone, None)

    def routes(self) -> list[str]:
        """The names of all routes the node holds, in their order."""
        tables = (
            route_v3.RouteConfiguration.FromString(payload)
            for name, payload in self.resources.get(typeurl.ROUTE, {}).items()
            if name != names.PROBE_ROUTE_TABLE
        )
        return [
            each.name for table in tables for host in table.virtual_hosts for each in host.routes
        ]


@asynccontextmanager
async def connected(plane: ControlPlane, *urls: str) -> AsyncIterator[Node]:
    """A node that follows clusters, listeners and every resource of these types by name."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{plane.port}") as channel:
        stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        node = Node(stream)
        answering = asyncio.create_task(node.answer())
        try:
            await node.subscribe(typeurl.CLUSTER)
            await node.subscribe(typeurl.LISTENER)
            for url in urls:
                wanted = plane.reconciler.current.built.snapshots["main"].of_type(url)
                await node.subscribe(url, *wanted)
            yield node
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            stream.cancel()


EVERYTHING = (typeurl.ENDPOINT, typeurl.EXTENSION, typeurl.ROUTE)


@pytest.fixture
def validator() -> Refusing:
    return Refusing()


@pytest.fixture
async def plane(validator: Refusing) -> AsyncIterator[ControlPlane]:
    async with control_plane(validator) as plane:
        plane.apply(GATEWAY)
        plane.apply(route("one", "/one", 8001))
        yield plane


async def first_turn(plane: ControlPlane) -> None:
    plane.synced()
    await plane.until(lambda: plane.reconciler.current)


async def test_a_node_that_asks_too_early_waits_for_the_initial_sync(plane: ControlPlane) -> None:
    async with connected(plane) as node:
        await plane.until(plane.registry.nodes)
        assert node.updates == []
        plane.synced()
        await plane.until(lambda: node.resources.get(typeurl.LISTENER))
        (payload,) = node.resources[typeurl.LISTENER].values()
        found = listener_v3.Listener.FromString(payload)
        assert found.address.socket_address.port_value == 8080


async def test_a_new_route_reaches_the_node_and_is_programmed(plane: ControlPlane) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        await plane.until(lambda: node.routes() == ["route/default/one/0"])
        revision = plane.apply(route("two", "/two", 8001))
        assert (await plane.tracker.wait(revision, 60)).served == ("node-1",)
        assert node.routes() == ["route/default/one/0", "route/default/two/0"]
        assert plane.condition("Route", "two", ConditionType.PROGRAMMED).status


async def test_an_update_carries_only_what_changed(plane: ControlPlane) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        node.updates.clear()
        revision = plane.apply(route("two", "/two", 8001))
        assert (await plane.tracker.wait(revision, 60)).complete
        assert typeurl.LISTENER not in {each.type_url for each in node.updates}
        assert typeurl.CLUSTER not in {each.type_url for each in node.updates}


async def test_an_equal_write_sends_nothing_and_counts_as_served(plane: ControlPlane) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        node.updates.clear()
        revision = plane.apply(route("one", "/one", 8001, "  description: the same to Envoy\n"))
        assert (await plane.tracker.wait(revision, 60)).served == ("node-1",)
        assert node.updates == []


async def test_a_deleted_route_leaves_the_node_and_the_statuses(plane: ControlPlane) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        await plane.until(node.routes)
        revision = plane.delete(route("one", "/one", 8001))
        assert (await plane.tracker.wait(revision, 60)).complete
        assert node.routes() == []
        assert plane.condition("Route", "one", ConditionType.ACCEPTED) is None


async def test_a_route_without_its_upstream_is_told_and_comes_to_life_with_it(
    plane: ControlPlane,
) -> None:
    await first_turn(plane)
    to_pool = route("two", "/two", 1).replace(
        'url: "http://127.0.0.1:1"', "kind: Upstream, name: pool"
    )
    plane.apply(to_pool)
    await plane.until(lambda: plane.condition("Route", "two", ConditionType.RESOLVED_REFS))
    missing = plane.condition("Route", "two", ConditionType.RESOLVED_REFS)
    assert missing.reason is Reason.REF_NOT_FOUND
    assert "Upstream default/pool does not exist" in missing.message

    target = "spec: {targets: [{host: 127.0.0.1, port: 9}]}"
    plane.apply(f"{API}kind: Upstream\nmetadata: {{name: pool}}\n{target}")
    await plane.until(lambda: plane.condition("Route", "two", ConditionType.RESOLVED_REFS).status)


async def test_a_node_that_does_not_answer_lags_until_it_does(plane: ControlPlane) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        node.free.clear()
        revision = plane.apply(route("two", "/two", 8001))
        await plane.until(lambda: plane.tracker.report(revision).lagging)
        (lag,) = plane.tracker.report(revision).lagging
        assert (lag.node, lag.reason) == ("node-1", LagReason.NOT_ACKNOWLEDGED)
        node.free.set()
        assert (await plane.tracker.wait(revision, 60)).served == ("node-1",)


async def test_the_object_behind_a_rejection_is_set_aside_and_a_repaired_one_returns(
    plane: ControlPlane, validator: Refusing
) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        validator.word, node.refuse = b"/forbidden", "no /forbidden here"
        plane.apply(route("bad", "/forbidden", 8001))
        plane.apply(route("good", "/good", 8001))
        await plane.until(lambda: plane.reconciler.set_aside)
        node.refuse = ""
        assert set(plane.reconciler.set_aside) == {ObjectRef("Route", "default", "bad")}
        await plane.until(
            lambda: (
                plane.condition("Route", "bad", ConditionType.PROGRAMMED).reason
                is Reason.ENVOY_REJECTED
            )
        )
        programmed = plane.condition("Route", "bad", ConditionType.PROGRAMMED)
        assert "no /forbidden here" in programmed.message
        await plane.until(lambda: node.routes() == ["route/default/good/0", "route/default/one/0"])

        revision = plane.apply(route("bad", "/allowed", 8001))
        assert (await plane.tracker.wait(revision, 60)).complete
        assert "route/default/bad/0" in node.routes()
        assert plane.reconciler.set_aside == {}


async def test_a_rejection_no_dry_run_repeats_is_told_on_the_gateway_and_sets_nothing_aside(
    plane: ControlPlane,
) -> None:
    await first_turn(plane)
    async with connected(plane, *EVERYTHING) as node:
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        node.refuse = "not on a Sunday"
        plane.apply(route("two", "/two", 8001))
        await plane.until(lambda: plane.isolator.runtime_rejections)
        assert plane.reconciler.set_aside == {}
        programmed = plane.condition("GatewayConfig", "main", ConditionType.PROGRAMMED)
        assert programmed.reason is Reason.ENVOY_REJECTED
        assert "not on a Sunday" in programmed.message
