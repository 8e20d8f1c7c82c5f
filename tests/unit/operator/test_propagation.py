"""Who serves what: the tracker and the status book over nodes the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog
from support.gateway import gateway

from fluxgate.api.parse import parse_object
from fluxgate.ports import Nack, NodeState, SyncState, TypeState
from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate.xds import typeurl
from fluxgate_operator.pipeline import Built, SetAsides
from fluxgate_operator.probe import ProbeTarget
from fluxgate_operator.propagation import LagReason, PropagationTracker
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.status_book import StatusBook

PROBED = {"fluxgate.io/probe": "127.0.0.1:9000", "fluxgate.io/concurrency": 2}


class Nodes:
    """Implements ``NodeReader``."""

    def __init__(self) -> None:
        self.states: dict[str, NodeState] = {}
        self._next = asyncio.Event()

    def put(self, name: str, snapshot: str, **changes: object) -> None:
        state = NodeState(name, "main", True, "envoy", 1.0, 1.0, snapshot)
        self.states[name] = replace(state, **changes)  # type: ignore[arg-type]
        self._next.set()
        self._next = asyncio.Event()

    def nodes(self, gateway: str | None = None) -> tuple[NodeState, ...]:
        return tuple(self.states[name] for name in sorted(self.states))

    async def changed(self) -> None:
        await self._next.wait()


class Pipeline:
    """One gateway with one cluster for every object; every object is accepted."""

    def build(self, resources: Resources, set_aside: SetAsides) -> Built:
        clusters = [
            SnapshotResource.of(typeurl.CLUSTER, ref.name, str(obj).encode(), origins=(ref,))
            for ref, obj in resources
        ]
        statuses = {
            ref: ObjectStatus(ref, 1, (Condition(ConditionType.ACCEPTED, True, Reason.ACCEPTED),))
            for ref, _ in resources
        }
        return Built({"main": gateway()}, {"main": Snapshot.of(clusters)}, statuses)


class Sink:
    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        """Nodes are the test's."""


class Probe:
    """Stands in for the workers: answers with what the test says they serve."""

    def __init__(self, target: ProbeTarget, world: World) -> None:
        self.target = target
        self._world = world
        self.closed = False
        world.probes.append(self)

    async def prove(self, enough: Callable[[str], bool]) -> None:
        while not enough(self._world.workers):
            self._world.moved.clear()
            await self._world.moved.wait()

    @property
    def answers(self) -> dict[str, int]:
        return {self._world.workers: self.target.workers}

    def close(self) -> None:
        self.closed = True


class World:
    def __init__(self) -> None:
        log = structlog.get_logger()
        self.nodes, self.store = Nodes(), ResourceStore()
        self.workers, self.moved = "", asyncio.Event()
        self.probes: list[Probe] = []
        self.reconciler = Reconciler(self.store, Pipeline(), Sink(), self._never, log)
        self.tracker = PropagationTracker(
            self.nodes, self.reconciler, log, lambda target: Probe(target, self)
        )
        self.book = StatusBook(self.reconciler, self.tracker)

    async def _never(self) -> None:
        await asyncio.Event().wait()

    def turn(self, name: str, port: int = 1) -> tuple[int, str]:
        """Write an object and reconcile: (revision, version of the snapshot)."""
        spec = {"targets": [{"host": "127.0.0.1", "port": port}]}
        self.store.upsert(
            parse_object(
                {
                    "apiVersion": "gateway.fluxgate.io/v1alpha1",
                    "kind": "Upstream",
                    "metadata": {"name": name, "generation": port},
                    "spec": spec,
                }
            )
        )
        self.reconciler.reconcile()
        assert self.reconciler.current is not None
        return self.store.revision, self.reconciler.current.versions["main"]

    def serve(self, version: str) -> None:
        self.workers = version
        self.moved.set()

    def programmed(self, name: str, rejections: dict[ObjectRef, str] | None = None) -> Condition:
        status = self.book.statuses(rejections or {})[ObjectRef("Upstream", "default", name)]
        return next(each for each in status.conditions if each.type is ConditionType.PROGRAMMED)


@pytest.fixture
async def world() -> World:
    return World()


@asynccontextmanager
async def tracking(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(world.tracker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def reasons(world: World, revision: int) -> dict[str, LagReason]:
    return {lag.node: lag.reason for lag in world.tracker.report(revision).lagging}


async def test_without_any_node_nothing_counts_as_served(world: World) -> None:
    revision, _ = world.turn("a")
    found = world.tracker.report(revision)
    assert found.reconciled
    assert not found.complete


async def test_a_node_that_cannot_be_probed_counts_by_its_acknowledgement(world: World) -> None:
    revision, version = world.turn("a")
    world.nodes.put("n", "older")
    assert reasons(world, revision) == {"n": LagReason.NOT_ACKNOWLEDGED}
    world.nodes.put("n", version)
    assert world.tracker.report(revision).served == ("n",)


async def test_an_acknowledgement_is_no_proof_for_a_node_that_can_be_probed(world: World) -> None:
    revision, version = world.turn("a")
    async with tracking(world):
        world.nodes.put("n", version, metadata=PROBED)
        waiting = asyncio.create_task(world.tracker.wait(revision, 60))
        while not world.probes:
            await world.tracker.changed.wait()
        (lag,) = world.tracker.report(revision).lagging
        assert lag.reason is LagReason.NOT_SERVING
        assert lag.message == "acknowledged, but 2 of 2 workers do not answer with it yet"
        world.serve(version)
        assert (await waiting).served == ("n",)


async def test_a_node_that_reconnects_is_proven_anew(world: World) -> None:
    revision, version = world.turn("a")
    world.serve(version)
    async with tracking(world):
        world.nodes.put("n", version, metadata=PROBED)
        assert (await world.tracker.wait(revision, 60)).complete
        world.serve("")
        world.nodes.put("n", version, metadata=PROBED, connected_at=2.0)
        assert not world.tracker.report(revision).complete
        waiting = asyncio.create_task(world.tracker.wait(revision, 60))
        await world.tracker.changed.wait()
        world.serve(version)
        assert (await waiting).complete


async def test_the_connections_to_a_node_that_left_are_closed(world: World) -> None:
    revision, version = world.turn("a")
    world.serve(version)
    async with tracking(world):
        world.nodes.put("n", version, metadata=PROBED)
        await world.tracker.wait(revision, 60)
        world.nodes.put("n", version, metadata=PROBED, connected=False)
        await world.tracker.changed.wait()
        assert [probe.closed for probe in world.probes] == [True]
        assert world.tracker.report(revision).lagging == ()


async def test_every_node_has_to_serve_and_the_one_that_rejects_is_quoted(world: World) -> None:
    revision, version = world.turn("a")
    rejected = TypeState(SyncState.REJECTED, nack=Nack(version, "no such filter", 1.0))
    world.nodes.put("good", version)
    world.nodes.put("bad", "older", types={typeurl.LISTENER: rejected})
    found = world.tracker.report(revision)
    assert found.served == ("good",)
    (lag,) = found.lagging
    assert (lag.node, lag.reason) == ("bad", LagReason.REJECTED)
    assert "no such filter" in lag.message


async def test_waiting_ends_in_time_with_what_is_known(world: World) -> None:
    revision, _ = world.turn("a")
    async with tracking(world):
        found = await world.tracker.wait(revision + 1, 0.01)
        assert not found.reconciled


async def test_an_object_is_programmed_when_every_node_serves_its_turn(world: World) -> None:
    _, first = world.turn("a")
    _, second = world.turn("b")
    world.nodes.put("one", first)
    world.nodes.put("two", second)
    assert world.programmed("a").status
    assert world.programmed("a").message == "every node serves it"
    assert not world.programmed("b").status
    assert world.programmed("b").message == "1 of 2 nodes serve it"


async def test_what_a_running_envoy_rejects_is_said_in_its_words(world: World) -> None:
    _, version = world.turn("a")
    world.nodes.put("n", version)
    found = world.programmed("a", {ObjectRef("Upstream", "default", "a"): "Listener: in use"})
    assert (found.status, found.reason) == (False, Reason.ENVOY_REJECTED)
    assert found.message == "Listener: in use"


async def test_a_status_whose_facts_did_not_change_is_the_same_object(world: World) -> None:
    _, version = world.turn("a")
    world.nodes.put("n", version)
    first, second = world.book.statuses({}), world.book.statuses({})
    assert all(first[ref] is second[ref] for ref in first)
