"""Every node of every replica, each by its newest connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from fluxgate.ports import Nack, NodeState, SyncState, TypeState
from fluxgate.resources import ResourceStore
from fluxgate.xds import typeurl
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.plane.fleet import FleetBook
from fluxgate_operator.propagation import PropagationTracker, RemoteNode
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.replicas.report import Report, ReportedNode, decode, encode

MINE = NodeState("one", "main", True, "envoy/1.40.0", 100.0, 150.0, "")
THEIRS = RemoteNode("other", "one", "main", "v1", 90.0, "c", "", "", "envoy/1.39.0", 140.0)


class Reader:
    def __init__(self, *nodes: NodeState) -> None:
        self._nodes = nodes

    def nodes(self, gateway: str | None = None) -> tuple[NodeState, ...]:
        return self._nodes

    async def changed(self) -> None:
        await asyncio.Event().wait()


class Remotes:
    def __init__(self, *nodes: RemoteNode) -> None:
        self._nodes = nodes
        self.changed = Signal()

    def nodes(self) -> tuple[RemoteNode, ...]:
        return self._nodes


def book(mine: tuple[NodeState, ...], theirs: tuple[RemoteNode, ...]) -> FleetBook:
    async def synced() -> None:
        """Never asked for."""

    class Sink:
        def publish(self, *_: object) -> None:
            """Nobody is served."""

    log = structlog.get_logger()
    reconciler = Reconciler(ResourceStore(), CachedPipeline(), Sink(), synced, log)
    tracker = PropagationTracker(Reader(*mine), reconciler, log, remotes=Remotes(*theirs))
    return FleetBook(reconciler, tracker, "here")


async def test_a_node_known_twice_is_shown_where_it_connected_last() -> None:
    (kept,) = book((MINE,), (THEIRS,)).nodes()
    assert (kept.replica, kept.agent, kept.last_seen) == ("here", "envoy/1.40.0", 150.0)

    (moved,) = book((MINE,), (replace(THEIRS, connected_at=200.0),)).nodes()
    assert (moved.replica, moved.agent, moved.last_seen) == ("other", "envoy/1.39.0", 140.0)


async def test_a_node_that_left_for_another_replica_is_shown_there() -> None:
    (found,) = book((replace(MINE, connected=False),), (THEIRS,)).nodes()

    assert found.replica == "other"
    assert found.connected


async def test_a_node_that_left_is_shown_as_gone() -> None:
    (found,) = book((replace(MINE, connected=False),), ()).nodes()

    assert (found.connected, found.lag) == (False, "not connected")


async def test_what_a_node_rejects_is_told_in_its_own_words_by_type() -> None:
    nack = Nack("v2", "duplicate domain", 1.0)
    rejecting = replace(MINE, types={typeurl.ROUTE: TypeState(SyncState.REJECTED, nack=nack)})

    (found,) = book((rejecting,), ()).nodes()

    assert found.error == "RouteConfiguration: duplicate domain"
    assert "Envoy rejects it" in found.lag


def test_reports_carry_what_is_shown_of_a_node_elsewhere() -> None:
    node = ReportedNode("one", "main", "c", 90.0, "v1", "behind", "no", "envoy/1.40.0", 95.0)

    replica, report = decode(encode("here", Report((node,)), 100.0), 200.0)

    assert replica == "here"
    (there,) = report.nodes
    assert (there.error, there.agent) == ("no", "envoy/1.40.0")
    assert (there.connected_at, there.last_seen) == (190.0, 195.0)


def test_that_a_node_was_heard_again_is_no_news_by_itself() -> None:
    node = ReportedNode("one", "main", "c", 90.0, "v1")

    assert Report((node,)) == Report((replace(node, last_seen=99.0),))


def test_a_report_of_an_older_replica_is_read() -> None:
    payload = (
        b'{"replica":"old","setAside":[],"rejections":[],"nodes":[{"id":"one","gateway":"main",'
        b'"connection":"c","connectedSeconds":1,"version":"v1"}]}'
    )

    _, report = decode(payload, 100.0)

    assert report.nodes[0].agent == ""
