"""Which nodes really serve which revision.

A node serves a turn of the reconciler when it has acknowledged that turn's snapshot in
whole and, where it can be probed, every worker has answered with it: Envoy acknowledges
before it serves. One background task follows the nodes and probes; :meth:`wait` and
:meth:`report` only read what it found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import NodeReader, NodeState, SyncState
from fluxgate.xds import typeurl
from fluxgate_operator.envoy.words import concise
from fluxgate_operator.notify import Signal
from fluxgate_operator.probe import Prober, ProbeTarget, probe_target
from fluxgate_operator.reconciler import Reconciler


class LagReason(StrEnum):
    """Why a node does not serve a revision yet."""

    DISCONNECTED = "Disconnected"
    NOT_ACKNOWLEDGED = "NotAcknowledged"
    REJECTED = "Rejected"
    NOT_SERVING = "NotServing"


@dataclass(frozen=True, slots=True)
class Lag:
    """A node that does not serve the revision, and why, in words for people."""

    node: str
    reason: LagReason
    message: str


@dataclass(frozen=True, slots=True)
class Propagation:
    """Who serves ``revision``. ``reconciled`` is False while no turn has included it."""

    revision: int
    reconciled: bool
    served: tuple[str, ...]
    lagging: tuple[Lag, ...]

    @property
    def complete(self) -> bool:
        """Whether there is a node, and every one serves the revision."""
        return self.reconciled and bool(self.served) and not self.lagging


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
    ) -> None:
        self._reader = reader
        self._reconciler = reconciler
        self._log = log
        self._make_prober = make_prober
        self._proofs: dict[str, _Proof] = {}
        self._probers: dict[str, Prober] = {}
        self._probing: dict[str, tuple[str, asyncio.Task[None]]] = {}
        self.changed = Signal()

    async def run(self) -> None:
        """Follow and probe until cancelled."""
        try:
            while True:
                nodes_changed = asyncio.create_task(self._reader.changed())
                turn_done = self._reconciler.done.subscribe()
                await asyncio.sleep(0)  # let changed() subscribe before the nodes are read
                self._evaluate()
                self.changed.notify()
                try:
                    await asyncio.wait(
                        (nodes_changed, turn_done), return_when=asyncio.FIRST_COMPLETED
                    )
                finally:
                    nodes_changed.cancel()
                    turn_done.cancel()
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
        for node in self._counted():
            if self.serving_sequence(node) >= wanted:
                served.append(node.id)
            else:
                lagging.append(self._lag(node))
        return Propagation(revision, reconciled=True, served=tuple(served), lagging=tuple(lagging))

    def serving_sequence(self, node: NodeState) -> int:
        """The newest turn of which the node is known to serve everything."""
        if not node.connected:
            return 0
        if probe_target(node) is None:
            return self._reconciler.latest_sequence(node.gateway, node.snapshot)
        proof = self._proofs.get(node.id)
        if proof is None or proof.connected_at != node.connected_at:
            return 0
        if proof.version == node.snapshot:
            return max(
                proof.sequence, self._reconciler.latest_sequence(node.gateway, proof.version)
            )
        return proof.sequence

    def counted_nodes(self) -> tuple[NodeState, ...]:
        """The nodes that must serve a revision: every one connected."""
        return tuple(self._counted())

    def _counted(self) -> list[NodeState]:
        current = self._reconciler.current
        gateways = current.built.snapshots.keys() if current is not None else ()
        return [
            node for node in self._reader.nodes() if node.connected and node.gateway in gateways
        ]

    def _evaluate(self) -> None:
        connected = {node.id: node for node in self._reader.nodes() if node.connected}
        for gone in self._probers.keys() - connected.keys():
            self._forget(gone)
        for node in connected.values():
            target = probe_target(node)
            if target is None or not node.snapshot:
                continue
            if self._reconciler.latest_sequence(node.gateway, node.snapshot):
                self._probe(node, target)

    def _forget(self, node_id: str) -> None:
        if (running := self._probing.pop(node_id, None)) is not None:
            running[1].cancel()
        self._probers.pop(node_id).close()
        self._proofs.pop(node_id, None)

    def _probe(self, node: NodeState, target: ProbeTarget) -> None:
        proof = self._proofs.get(node.id)
        if (
            proof is not None
            and proof.version == node.snapshot
            and proof.connected_at == node.connected_at
        ):
            return
        running = self._probing.get(node.id)
        if running is not None:
            if running[0] == node.snapshot:
                return
            running[1].cancel()
        prober = self._probers.get(node.id)
        if prober is None or prober.target != target:
            if prober is not None:
                prober.close()
            prober = self._probers[node.id] = self._make_prober(target)
        task = asyncio.create_task(self._prove(node, prober))
        self._probing[node.id] = (node.snapshot, task)
        task.add_done_callback(self._check)

    async def _prove(self, node: NodeState, prober: Prober) -> None:
        wanted = self._reconciler.latest_sequence(node.gateway, node.snapshot)

        def enough(version: str) -> bool:
            return self._reconciler.latest_sequence(node.gateway, version) >= wanted

        await prober.prove(enough)
        self._proofs[node.id] = _Proof(node.connected_at, node.snapshot, wanted)
        self._probing.pop(node.id, None)
        self.changed.notify()

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("a probe failed unexpectedly", error=repr(error))

    def _lag(self, node: NodeState) -> Lag:
        rejected = {
            url: state.nack
            for url, state in node.types.items()
            if state.state is SyncState.REJECTED and state.nack is not None
        }
        if rejected:
            words = "; ".join(
                f"{typeurl.short(url)}: {concise(nack.message)}"
                for url, nack in sorted(rejected.items())
            )
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
        prober = self._probers.get(node.id)
        answers = prober.answers if prober is not None else {}
        total = sum(answers.values())
        behind = total - answers.get(newest, 0)
        return Lag(
            node.id,
            LagReason.NOT_SERVING,
            f"acknowledged, but {behind} of {total} workers do not answer with it yet",
        )
