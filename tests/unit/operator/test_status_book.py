"""Whose nodes count for which object."""

from __future__ import annotations

import asyncio

import structlog
import yaml

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore, ref_of
from fluxgate.status import Condition, ConditionType, ObjectStatus
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.propagation import COMING_SECONDS, PropagationTracker, RemoteNode
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.status_book import StatusBook
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry

TWO_GATEWAYS = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {name: east}
spec: {listeners: [{name: http, port: 8080}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {name: west}
spec: {listeners: [{name: http, port: 8081}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {name: up}
spec: {targets: [{host: 127.0.0.1, port: 1}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {name: spare}
spec: {targets: [{host: 127.0.0.1, port: 2}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Tenant
metadata: {name: acme}
spec: {hosts: [acme.example.com]}
"""


def route(name: str, gateway: str, path: str = "/") -> str:
    return f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: {name}}}
spec:
  gateways: [{gateway}]
  matches: [{{path: {{type: Prefix, value: {path}}}}}]
  backends: [{{kind: Upstream, name: up}}]
"""


class Remotes:
    """Implements ``RemoteNodes``."""

    def __init__(self) -> None:
        self.changed = Signal()
        self.listed: tuple[RemoteNode, ...] = ()

    def nodes(self) -> tuple[RemoteNode, ...]:
        return self.listed


class World:
    def __init__(self, text: str) -> None:
        log = structlog.get_logger()
        self.now = 1000.0
        self.store, self.remotes = ResourceStore(), Remotes()
        self.registry = NodeRegistry(clock=lambda: self.now)
        self.reconciler = Reconciler(
            self.store, CachedPipeline(), SnapshotCache(), asyncio.Event().wait, log
        )
        self.tracker = PropagationTracker(
            self.registry,
            self.reconciler,
            log,
            remotes=self.remotes,
            clock=lambda: self.now,
        )
        self.book = StatusBook(self.reconciler, self.tracker)
        self.apply(text)

    def apply(self, text: str) -> None:
        for document in yaml.safe_load_all(text):
            self.store.upsert(parse_object(document))
        assert self.reconciler.reconcile()

    def remove(self, text: str) -> None:
        for document in yaml.safe_load_all(text):
            self.store.remove(ref_of(parse_object(document)))
        assert self.reconciler.reconcile()

    def version(self, gateway: str) -> str:
        assert self.reconciler.current is not None
        return self.reconciler.current.versions[gateway]

    def node(self, gateway: str, name: str, snapshot: str | None = None) -> None:
        version = self.version(gateway) if snapshot is None else snapshot
        self.registry.connect(gateway, name, "envoy", {}).update({}, version)

    def statuses(self) -> dict[ObjectRef, ObjectStatus]:
        return self.book.statuses({})

    def programmed(self, kind: str, name: str) -> Condition:
        status = self.statuses()[ObjectRef(kind, "default", name)]
        return next(each for each in status.conditions if each.type is ConditionType.PROGRAMMED)


def remote(world: World, version: str, name: str = "far", **fields: object) -> RemoteNode:
    known = {"replica": "two", "gateway": "east", "connected_at": world.now, "connection": "1"}
    return RemoteNode(id=name, version=version, **{**known, **fields})  # type: ignore[arg-type]


async def test_an_object_waits_for_the_nodes_of_its_own_gateways_only() -> None:
    world = World(TWO_GATEWAYS + "---" + route("e", "east") + "---" + route("w", "west"))
    world.node("east", "e1")
    world.node("west", "w1", "older")
    assert world.programmed("Route", "e").status
    assert world.programmed("Route", "w").message == "0 of 1 nodes serve it"
    assert world.programmed("Upstream", "up").message == "1 of 2 nodes serve it"
    assert world.programmed("GatewayConfig", "east").status
    assert not world.programmed("GatewayConfig", "west").status


async def test_an_object_that_acts_through_others_waits_for_every_node() -> None:
    world = World(TWO_GATEWAYS)
    world.node("east", "e1")
    world.node("west", "w1", "older")
    assert world.programmed("Tenant", "acme").message == "1 of 2 nodes serve it"


async def test_what_no_route_sends_to_is_not_waited_for() -> None:
    world = World(TWO_GATEWAYS + "---" + route("e", "east"))
    spare = world.programmed("Upstream", "spare")
    assert spare.status
    assert spare.message == "no route sends to it, so there is nothing to serve"
    assert not world.programmed("Upstream", "up").status


async def test_a_route_that_moves_to_another_gateway_waits_for_its_nodes() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east"))
    world.node("east", "e1")
    assert world.programmed("Route", "r").status
    world.apply(route("r", "west"))
    assert world.programmed("Route", "r").message == "no node is connected"
    world.node("west", "w1")
    assert world.programmed("Route", "r").status


async def test_an_object_that_is_gone_has_no_status() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east"))
    assert ObjectRef("Route", "default", "r") in world.statuses()
    world.remove(route("r", "east"))
    assert ObjectRef("Route", "default", "r") not in world.statuses()


async def test_one_change_leaves_every_other_status_the_same_object() -> None:
    world = World(
        TWO_GATEWAYS + "---" + route("a", "east", "/a") + "---" + route("b", "east", "/b")
    )
    world.node("east", "e1")
    before = world.statuses()
    world.apply(route("a", "east", "/other"))
    after = world.statuses()
    changed = {ref.name for ref in after if after[ref] is not before[ref]}
    assert changed == {"a"}
    world.node("east", "e1")
    assert {r.name for r, s in world.statuses().items() if s is not after[r]} == {"a"}


async def test_a_node_that_has_just_come_is_no_news_of_every_object() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east"))
    world.node("east", "e1")
    before = world.statuses()
    world.node("east", "e2", "")
    assert world.statuses() == before
    assert not world.tracker.report(world.store.revision).complete
    world.now += COMING_SECONDS + 1
    assert world.programmed("Route", "r").message == "1 of 2 nodes serve it"


async def test_the_nodes_of_other_replicas_count_by_the_version_they_serve() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east", "/a"))
    world.node("east", "e1")
    old = world.version("east")
    world.remotes.listed = (remote(world, old),)
    assert world.programmed("Route", "r").status
    world.apply(route("r", "east", "/b"))
    world.node("east", "e1")
    assert world.programmed("Route", "r").message == "1 of 2 nodes serve it"
    world.remotes.listed = (remote(world, world.version("east")),)
    assert world.programmed("Route", "r").status


async def test_a_version_of_a_replica_that_is_ahead_counts_as_the_last_one_known() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east", "/a"))
    world.remotes.listed = (remote(world, world.version("east")),)
    assert world.programmed("Route", "r").status
    world.remotes.listed = (remote(world, "not ours yet"),)
    assert world.programmed("Route", "r").status
    world.apply(route("r", "east", "/b"))
    assert not world.programmed("Route", "r").status


async def test_of_two_connections_of_one_node_the_newest_counts() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east"))
    world.node("east", "n")
    stale = remote(world, "older", "n", connected_at=world.now - 50)
    world.remotes.listed = (stale,)
    assert world.programmed("Route", "r").status
    newer = remote(world, "older", "n", connected_at=world.now + 1)
    world.remotes.listed = (newer,)
    assert world.programmed("Route", "r").message == "0 of 1 nodes serve it"


async def test_a_node_of_a_gateway_nobody_knows_does_not_count() -> None:
    world = World(TWO_GATEWAYS + "---" + route("r", "east"))
    world.node("east", "e1")
    world.remotes.listed = (remote(world, "x", gateway="nowhere"),)
    assert world.programmed("Tenant", "acme").status
