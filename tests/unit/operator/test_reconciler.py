"""The loop, over a pipeline the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.translator import SetAside
from fluxgate.xds import typeurl
from fluxgate_operator.pipeline import Built, SetAsides
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.settings import HoldoffSettings


def upstream(name: str, port: int = 1) -> object:
    return parse_object(
        {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": "Upstream",
            "metadata": {"name": name, "generation": port},
            "spec": {"targets": [{"host": "127.0.0.1", "port": port}]},
        }
    )


def ref(name: str) -> ObjectRef:
    return ObjectRef("Upstream", "default", name)


class NamesPipeline:
    """One gateway with one cluster for every object."""

    def __init__(self) -> None:
        self.broken = False
        self.gone = False
        self.turns = 0

    def build(self, resources: Resources, set_aside: SetAsides) -> Built:
        self.turns += 1
        if self.broken:
            raise RuntimeError("a bug")
        clusters = (
            SnapshotResource.of(typeurl.CLUSTER, each.name, each.name.encode())
            for each, _ in resources
            if each not in set_aside
        )
        snapshots = {} if self.gone else {"main": Snapshot.of(clusters)}
        return Built({}, snapshots, {})


class Sink:
    def __init__(self) -> None:
        self.published: list[tuple[str, Snapshot]] = []

    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        self.published.append((gateway, snapshot))

    def names(self) -> set[str]:
        return set(self.published[-1][1].of_type(typeurl.CLUSTER))


class World:
    def __init__(self) -> None:
        self.store = ResourceStore()
        self.pipeline = NamesPipeline()
        self.sink = Sink()
        self.synced = asyncio.Event()
        self.reconciler = Reconciler(
            self.store,
            self.pipeline,
            self.sink,
            self._wait_synced,
            structlog.get_logger(),
            HoldoffSettings(delay=0.001, ceiling=0.01),
        )

    async def _wait_synced(self) -> None:
        await self.synced.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        task = asyncio.create_task(self.reconciler.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def turn(self) -> None:
        async with asyncio.timeout(60):
            await self.reconciler.done.wait()


async def test_nothing_is_published_before_the_initial_sync() -> None:
    world = World()
    async with world.running():
        world.store.upsert(upstream("a"))
        world.reconciler.poke()
        await asyncio.sleep(0)
        assert world.sink.published == []
        world.synced.set()
        await world.turn()
        assert world.sink.names() == {"a"}


async def test_a_burst_becomes_one_turn() -> None:
    world = World()
    world.synced.set()
    async with world.running():
        await world.turn()
        for number in range(100):
            world.store.upsert(upstream(f"u{number}"))
            world.reconciler.poke()
        await world.turn()
        assert world.pipeline.turns == 2
        assert len(world.sink.names()) == 100


async def test_when_building_fails_the_last_good_snapshot_stays_and_the_failure_is_told() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    assert world.reconciler.reconcile()
    world.pipeline.broken = True
    world.store.upsert(upstream("b"))

    assert not world.reconciler.reconcile()
    assert len(world.sink.published) == 1
    assert world.reconciler.failure == "RuntimeError: a bug"

    world.pipeline.broken = False
    assert world.reconciler.reconcile()
    assert world.reconciler.failure == ""
    assert world.sink.names() == {"a", "b"}


async def test_a_revision_belongs_to_the_first_turn_that_included_it() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    world.reconciler.reconcile()
    world.store.upsert(upstream("b"))
    world.store.upsert(upstream("c"))
    assert world.reconciler.sequence_of(1) == 1
    assert world.reconciler.sequence_of(2) is None
    world.reconciler.reconcile()

    assert [world.reconciler.sequence_of(revision) for revision in (2, 3)] == [2, 2]
    assert world.reconciler.sequence_of(4) is None


async def test_equal_content_counts_for_the_newest_turn() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    world.reconciler.reconcile()
    first = world.reconciler.current
    assert first is not None
    world.store.upsert(upstream("a", port=2))
    world.reconciler.reconcile()

    assert world.reconciler.latest_sequence("main", first.versions["main"]) == 2


async def test_an_object_remembers_the_turn_it_took_its_present_form_in() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    world.reconciler.reconcile()
    world.store.upsert(upstream("b"))
    world.reconciler.reconcile()

    assert world.reconciler.changed_in(ref("a")) == 1
    assert world.reconciler.changed_in(ref("b")) == 2
    world.store.remove(ref("b"))
    world.reconciler.reconcile()
    assert world.reconciler.changed_in(ref("b")) == 0


async def test_objects_set_aside_are_left_out() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    world.store.upsert(upstream("b"))
    world.reconciler.set_objects_aside({ref("b"): SetAside("digest", "words")})
    world.reconciler.reconcile()

    assert world.sink.names() == {"a"}


async def test_a_gateway_that_vanishes_gets_an_empty_snapshot() -> None:
    world = World()
    world.store.upsert(upstream("a"))
    world.reconciler.reconcile()
    world.pipeline.gone = True
    world.reconciler.reconcile()

    assert world.sink.published[-1][0] == "main"
    assert world.sink.names() == set()
