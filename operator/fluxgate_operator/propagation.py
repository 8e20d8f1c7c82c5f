"""Which nodes really serve which revision.

A node serves a turn of the reconciler when it has acknowledged that turn's snapshot in
whole and, where it can be probed, every worker has answered with it: Envoy acknowledges
before it serves. One background task follows the nodes and probes; :meth:`wait` and
:meth:`report` only read what it found.

Other replicas have nodes of their own, and say which snapshot each of them serves. Equal
resources give equal versions everywhere, so a version is all it takes to know the turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import Lag, LagReason, NodeReader, NodeState, Propagation, SyncState
from fluxgate.xds import typeurl
from fluxgate_operator.envoy.words import concise
from fluxgate_operator.notify import Signal
from fluxgate_operator.probe import Prober, ProbeTarget, probe_target
from fluxgate_operator.reconciler import Reconciler

COMING_SECONDS = 30.0
"""How long a node may take from its connection to the first configuration it serves."""

_Key = tuple[str, str]
"""A node's gateway and id: two fleets may use the same ids."""


@dataclass(frozen=True, slots=True)
class FleetCount:
    """How many nodes are connected, and how many of them serve any configuration of ours."""

    connected: int
    serving: int


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """A node of another replica, as that replica reports it.

    ``version`` is the snapshot it is proven to serve, empty for none. ``connected_at`` is by
    our clock (seconds since the epoch), ``connection`` tells its connections apart. ``lag``
    says why it does not serve the newest snapshot its replica knows, ``error`` what it rejects.
    ``agent`` is its own name and version, ``last_seen`` when its replica last heard news of it.
    """

    replica: str
    id: str
    gateway: str
    version: str
    connected_at: float
    connection: str
    lag: str = ""
    error: str = ""
    agent: str = ""
    last_seen: float = 0.0


class RemoteNodes(Protocol):
    """The nodes of all other replicas."""

    @property
    def changed(self) -> Signal:
        """Notified when :meth:`nodes` gives something else."""
        ...

    def nodes(self) -> tuple[RemoteNode, ...]:
        """Every node connected to another replica."""
        ...


class NoRemoteNodes:
    """There is no other replica."""

    def __init__(self) -> None:
        self.changed = Signal()

    def nodes(self) -> tuple[RemoteNode, ...]:
        """None."""
        return ()


@dataclass(frozen=True, slots=True)
class _Proof:
    connected_at: float
    version: str
    sequence: int


class PropagationTracker:
    """Follows the nodes of all gateways; run :meth:`run` beside the reconciler."""

    def __init__(
        self,
        reader: NodeReader,
        reconciler: Reconciler,
        log: FilteringBoundLogger,
        make_prober: Callable[[ProbeTarget], Prober] = Prober,
        remotes: RemoteNodes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._reader = reader
        self._remotes = remotes or NoRemoteNodes()
        self._remote_sequences: dict[tuple[str, str, str, str], int] = {}
        self._reconciler = reconciler
        self._log = log
        self._make_prober = make_prober
        self._proofs: dict[_Key, _Proof] = {}
        self._probers: dict[_Key, Prober] = {}
        self._probing: dict[_Key, tuple[str, asyncio.Task[None]]] = {}
        self.changed = Signal()

    async def run(self) -> None:
        """Follow and probe until cancelled."""
        try:
            while True:
                nodes_changed = asyncio.create_task(self._reader.changed())
                turn_done = self._reconciler.done.subscribe()
                others_changed = self._remotes.changed.subscribe()
                await asyncio.sleep(0)  # let changed() subscribe before the nodes are read
                self._evaluate()
                self.changed.notify()
                try:
                    await asyncio.wait(
                        (nodes_changed, turn_done, others_changed),
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    nodes_changed.cancel()
                    turn_done.cancel()
                    others_changed.cancel()
        finally:
            for _, task in self._probing.values():
                task.cancel()
            for prober in self._probers.values():
                prober.close()

    async def wait(self, revision: int, seconds: float) -> Propagation:
        """Who serves ``revision``, as soon as all do, or after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    changed = self.changed.subscribe()
                    found = self.report(revision)
                    if found.complete:
                        return found
                    await changed
        except TimeoutError:
            return self.report(revision)

    def report(self, revision: int) -> Propagation:
        """Who serves ``revision`` at this moment."""
        wanted = self._reconciler.sequence_of(revision)
        if wanted is None:
            return Propagation(revision, reconciled=False, served=(), lagging=())
        served: list[str] = []
        lagging: list[Lag] = []
        local, remote = self._counted()
        for node in local:
            if self.serving_sequence(node) >= wanted:
                served.append(node.id)
            else:
                lagging.append(self.lag_of(node))
        for other in remote:
            if self._remote_sequence(other) >= wanted:
                served.append(other.id)
            else:
                lagging.append(_remote_lag(other))
        return Propagation(revision, reconciled=True, served=tuple(served), lagging=tuple(lagging))

    def serving_sequence(self, node: NodeState) -> int:
        """The newest turn of which the node is known to serve everything."""
        if not node.connected:
            return 0
        if probe_target(node) is None:
            return self._reconciler.latest_sequence(node.gateway, node.snapshot)
        proof = self._proofs.get(_key(node))
        if proof is None or proof.connected_at != node.connected_at:
            return 0
        if proof.version == node.snapshot:
            return max(
                proof.sequence, self._reconciler.latest_sequence(node.gateway, proof.version)
            )
        return proof.sequence

    def serving_version(self, node: NodeState) -> str:
        """The newest snapshot of which the node is known to serve everything; empty for none."""
        if not node.connected:
            return ""
        if probe_target(node) is None:
            return node.snapshot
        proof = self._proofs.get(_key(node))
        return proof.version if proof and proof.connected_at == node.connected_at else ""

    def serving(self) -> Iterator[tuple[str, int]]:
        """The connected nodes of every replica: gateway, and the newest turn each serves.

        A node that has just come and serves nothing yet is left out while others of its gateway
        serve: it takes no requests either, and is no news of ten thousand objects. After
        ``COMING_SECONDS`` it counts, whatever it does. :meth:`report` counts it at once.
        """
        local, remote = self._counted()
        found = [(each.gateway, self.serving_sequence(each), each.connected_at) for each in local]
        found += [(each.gateway, self._remote_sequence(each), each.connected_at) for each in remote]
        served = {gateway for gateway, sequence, _ in found if sequence}
        oldest = self._clock() - COMING_SECONDS
        for gateway, sequence, connected_at in found:
            if sequence or gateway not in served or connected_at < oldest:
                yield gateway, sequence

    def fleet(self, gateway: str) -> FleetCount:
        """The nodes of one gateway, of every replica."""
        local, remote = self._counted()
        sequences = [self.serving_sequence(each) for each in local if each.gateway == gateway]
        sequences += [self._remote_sequence(each) for each in remote if each.gateway == gateway]
        return FleetCount(len(sequences), sum(each > 0 for each in sequences))

    def counted_nodes(self) -> tuple[NodeState, ...]:
        """The nodes connected to this replica that ask for a gateway there is."""
        return tuple(self._connected())

    def everybody(self) -> tuple[tuple[NodeState, ...], tuple[RemoteNode, ...]]:
        """Every node, connected or lately gone, each by its newest connection: ours, and others'."""
        local, remote = self._reader.nodes(), self._remotes.nodes()
        newest = {_key(node): node for node in local}
        theirs: dict[_Key, RemoteNode] = {}
        for other in remote:
            key = (other.gateway, other.id)
            own, known = newest.get(key), theirs.get(key)
            if own is not None and own.connected and own.connected_at >= other.connected_at:
                continue
            if known is None or known.connected_at < other.connected_at:
                theirs[key] = other
        mine = tuple(node for key, node in newest.items() if key not in theirs)
        return mine, tuple(theirs.values())

    def _connected(self) -> list[NodeState]:
        current = self._reconciler.current
        gateways = current.built.snapshots.keys() if current is not None else ()
        return [
            node for node in self._reader.nodes() if node.connected and node.gateway in gateways
        ]

    def _counted(self) -> tuple[list[NodeState], list[RemoteNode]]:
        """The nodes that must serve a revision: every one connected, by its newest connection."""
        local, remote = self._connected(), self._remotes.nodes()
        if not remote:
            return local, []
        newest = {(node.gateway, node.id): node.connected_at for node in local}
        for other in remote:
            key = (other.gateway, other.id)
            newest[key] = max(newest.get(key, 0.0), other.connected_at)
        current = self._reconciler.current
        gateways = current.built.snapshots.keys() if current is not None else ()
        mine = [node for node in local if newest[node.gateway, node.id] == node.connected_at]
        taken = {(node.gateway, node.id) for node in mine}
        theirs: dict[tuple[str, str], RemoteNode] = {}
        for other in remote:
            key = (other.gateway, other.id)
            known = other.gateway in gateways and key not in taken
            if known and newest[key] == other.connected_at:
                theirs[key] = other
        return mine, list(theirs.values())

    def _remote_sequence(self, node: RemoteNode) -> int:
        """The turn of a remote node's version; of its last known one while ours is yet to come.

        Replicas coalesce changes differently: a version that another one had in between may
        never have been ours.
        """
        key = (node.replica, node.gateway, node.id, node.connection)
        found = self._reconciler.latest_sequence(node.gateway, node.version)
        if found:
            self._remote_sequences[key] = found
            return found
        return self._remote_sequences.get(key, 0) if node.version else 0

    def _forget_remotes(self) -> None:
        there = {
            (each.replica, each.gateway, each.id, each.connection) for each in self._remotes.nodes()
        }
        for gone in self._remote_sequences.keys() - there:
            del self._remote_sequences[gone]

    def _evaluate(self) -> None:
        self._forget_remotes()
        connected = {_key(node): node for node in self._reader.nodes() if node.connected}
        for gone in self._probers.keys() - connected.keys():
            self._forget(gone)
        for node in connected.values():
            target = probe_target(node)
            if target is None or not node.snapshot:
                continue
            if self._reconciler.latest_sequence(node.gateway, node.snapshot):
                self._probe(node, target)

    def _forget(self, node: _Key) -> None:
        if (running := self._probing.pop(node, None)) is not None:
            running[1].cancel()
        self._probers.pop(node).close()
        self._proofs.pop(node, None)

    def _probe(self, node: NodeState, target: ProbeTarget) -> None:
        proof = self._proofs.get(_key(node))
        if (
            proof is not None
            and proof.version == node.snapshot
            and proof.connected_at == node.connected_at
        ):
            return
        running = self._probing.get(_key(node))
        if running is not None:
            if running[0] == node.snapshot:
                return
            running[1].cancel()
        prober = self._probers.get(_key(node))
        if prober is None or prober.target != target:
            if prober is not None:
                prober.close()
            prober = self._probers[_key(node)] = self._make_prober(target)
        task = asyncio.create_task(self._prove(node, prober))
        self._probing[_key(node)] = (node.snapshot, task)
        task.add_done_callback(self._check)

    async def _prove(self, node: NodeState, prober: Prober) -> None:
        wanted = self._reconciler.latest_sequence(node.gateway, node.snapshot)

        def enough(version: str) -> bool:
            return self._reconciler.latest_sequence(node.gateway, version) >= wanted

        await prober.prove(enough)
        self._proofs[_key(node)] = _Proof(node.connected_at, node.snapshot, wanted)
        self._probing.pop(_key(node), None)
        self.changed.notify()

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a probe failed unexpectedly", error=repr(error))

    def lag_of(self, node: NodeState) -> Lag:
        """Why a node does not serve the newest snapshot."""
        if words := rejected_words(node):
            return Lag(node.id, LagReason.REJECTED, f"Envoy rejects it: {words}")
        pending = sorted(
            typeurl.short(url)
            for url, state in node.types.items()
            if state.state is SyncState.PENDING
        )
        current = self._reconciler.current
        newest = current.versions.get(node.gateway, "") if current is not None else ""
        if pending or node.snapshot != newest:
            what = f" of {', '.join(pending)}" if pending else ""
            return Lag(
                node.id, LagReason.NOT_ACKNOWLEDGED, f"connected, no acknowledgement{what} yet"
            )
        prober = self._probers.get(_key(node))
        answers = prober.answers if prober is not None else {}
        total = sum(answers.values())
        behind = total - answers.get(newest, 0)
        return Lag(
            node.id,
            LagReason.NOT_SERVING,
            f"acknowledged, but {behind} of {total} workers do not answer with it yet",
        )


def rejected_words(node: NodeState) -> str:
    """What a node rejects, in its own words, by type; empty when it is nothing."""
    rejected = {
        url: state.nack
        for url, state in node.types.items()
        if state.state is SyncState.REJECTED and state.nack is not None
    }
    return "; ".join(
        f"{typeurl.short(url)}: {concise(nack.message)}" for url, nack in sorted(rejected.items())
    )


def _remote_lag(node: RemoteNode) -> Lag:
    words = node.lag or "has not told its replica that it serves this"
    reason = LagReason.NOT_SERVING if node.version else LagReason.NOT_ACKNOWLEDGED
    return Lag(node.id, reason, f"at replica {node.replica}: {words}")


def _key(node: NodeState) -> _Key:
    return node.gateway, node.id
