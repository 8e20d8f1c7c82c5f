"""The snapshot cache and the node registry."""

from __future__ import annotations

import asyncio

from unit.xds_server.simulated import resource

from fluxgate.ports import Nack, SyncState, TypeState
from fluxgate.snapshot import Snapshot
from fluxgate.xds.typeurl import CLUSTER
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.changes import ChangeLog, changes_between
from fluxgate_xds.identity import Identities, spiffe_id
from fluxgate_xds.nodes import NodeRegistry

ONE = Snapshot.of([resource(CLUSTER, "a")])
TWO = Snapshot.of([resource(CLUSTER, "a", "2"), resource(CLUSTER, "b")])
SYNCED = {CLUSTER: TypeState(SyncState.SYNCED, "v1", "v1")}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_publishing_wakes_the_watches_of_that_gateway_only() -> None:
    cache = SnapshotCache()
    with cache.watch("one") as one, cache.watch("two") as two:
        cache.publish("one", ONE)
        assert (one.published.is_set(), two.published.is_set()) == (True, False)
        assert (one.snapshot, two.snapshot) == (ONE, None)


async def test_publishing_an_equal_snapshot_wakes_nobody() -> None:
    cache = SnapshotCache()
    cache.publish("one", ONE)
    with cache.watch("one") as watch:
        cache.publish("one", Snapshot.of([resource(CLUSTER, "a")]))
        assert not watch.published.is_set()


async def test_a_watch_that_was_left_is_forgotten() -> None:
    cache = SnapshotCache()
    with cache.watch("one"):
        assert len(cache.watches("one")) == 1
    assert len(cache.watches("one")) == 0


def test_changes_name_what_was_added_changed_and_removed() -> None:
    assert changes_between(ONE, TWO) == {CLUSTER: {"a", "b"}}
    assert changes_between(TWO, ONE) == {CLUSTER: {"a", "b"}}
    assert changes_between(ONE, Snapshot.of([resource(CLUSTER, "a")])) == {}


def test_a_step_between_two_snapshots_is_compared_once() -> None:
    log = ChangeLog()
    assert log.between(ONE, TWO) is log.between(ONE, TWO)


async def test_a_node_is_listed_with_what_it_acknowledged() -> None:
    registry = NodeRegistry(clock=Clock())
    handle = registry.connect("g", "n1", "envoy/1", {"zone": "a"})
    handle.update(SYNCED, "s1")
    (node,) = registry.nodes("g")
    assert (node.id, node.gateway, node.connected, node.snapshot) == ("n1", "g", True, "s1")
    assert (node.types, node.metadata) == (SYNCED, {"zone": "a"})
    assert registry.nodes("other") == ()


async def test_a_newer_stream_of_a_node_silences_the_older() -> None:
    registry = NodeRegistry(clock=Clock())
    old = registry.connect("g", "n1", "", {})
    new = registry.connect("g", "n1", "", {})
    new.update(SYNCED, "s2")
    old.update({}, "s1")
    old.close()
    (node,) = registry.nodes()
    assert (node.connected, node.snapshot) == (True, "s2")


async def test_a_change_between_the_call_and_the_await_is_not_lost() -> None:
    registry = NodeRegistry()
    waiting = registry.changed()
    registry.connect("g", "n1", "", {})
    await asyncio.wait_for(waiting, 60)


async def test_an_update_that_changes_nothing_wakes_nobody() -> None:
    registry = NodeRegistry()
    handle = registry.connect("g", "n1", "", {})
    handle.update(SYNCED, "s1")
    waiting = asyncio.ensure_future(registry.changed())
    handle.update(dict(SYNCED), "s1")
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def test_a_node_that_left_is_kept_for_a_while() -> None:
    clock = Clock()
    registry = NodeRegistry(clock=clock, keep=60)
    registry.connect("g", "n1", "", {}).close()
    clock.now += 59
    assert [node.connected for node in registry.nodes()] == [False]
    clock.now += 2
    assert registry.nodes() == ()


async def test_only_so_many_nodes_that_left_are_kept() -> None:
    clock = Clock()
    registry = NodeRegistry(clock=clock, keep_at_most=2)
    for number in range(5):
        clock.now += 1
        registry.connect("g", f"n{number}", "", {}).close()
    assert [node.id for node in registry.nodes()] == ["n3", "n4"]


async def test_each_rejection_is_counted_once() -> None:
    registry = NodeRegistry()
    handle = registry.connect("g", "n1", "", {})
    refused = {CLUSTER: TypeState(SyncState.REJECTED, "v", "", Nack("v", "no", 1.0))}
    handle.update(refused, "")
    handle.update(refused, "")
    assert registry.counters.nacks == 1


def test_an_identity_matches_node_and_gateway_only_together() -> None:
    peer = Identities(frozenset({spiffe_id("example.com", "ns/edge", "pod/1")}))
    assert peer.may_be("ns/edge", "pod/1")
    assert not peer.may_be("ns/edge", "pod/2")
    assert not peer.may_be("ns/other", "pod/1")


def test_a_part_of_a_name_cannot_pass_for_another_part() -> None:
    forged = Identities(frozenset({"spiffe://example.com/gateway/a/node/b/gateway/c/node/d"}))
    assert not forged.may_be("a", "b")
    assert not forged.may_be("c", "d")


def test_no_certificate_name_no_identity() -> None:
    assert not Identities().may_be("g", "n")
    assert Identities(trusted=True).may_be("g", "n")
