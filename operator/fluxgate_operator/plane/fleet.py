"""Every node, of this replica and of others, in the words of the port."""

from __future__ import annotations

from collections.abc import Iterator

from fluxgate.ports import FleetNode, NodeState
from fluxgate_operator.propagation import PropagationTracker, RemoteNode, rejected_words
from fluxgate_operator.reconciler import Reconciler


class FleetBook:
    """Reads the nodes on demand."""

    def __init__(
        self, reconciler: Reconciler, tracker: PropagationTracker, replica: str = ""
    ) -> None:
        self._reconciler = reconciler
        self._tracker = tracker
        self._replica = replica

    def nodes(self) -> tuple[FleetNode, ...]:
        """By gateway and id; a node known twice stands for its newest connection."""
        return tuple(sorted(self._all(), key=lambda node: (node.gateway, node.id)))

    def _all(self) -> Iterator[FleetNode]:
        mine, theirs = self._tracker.everybody()
        for node in mine:
            yield self._own(node)
        for other in theirs:
            yield self._remote(other)

    def _own(self, node: NodeState) -> FleetNode:
        version = self._tracker.serving_version(node)
        lag = "not connected"
        if node.connected:
            newest = self._newest(node.gateway)
            lag = "" if newest and version == newest else self._tracker.lag_of(node).message
        return FleetNode(
            id=node.id,
            gateway=node.gateway,
            connected=node.connected,
            version=version,
            agent=node.user_agent,
            last_seen=node.last_seen,
            lag=lag,
            error=rejected_words(node),
            replica=self._replica,
        )

    def _remote(self, node: RemoteNode) -> FleetNode:
        newest = self._newest(node.gateway)
        behind = node.lag or "has not told its replica that it serves the newest configuration"
        return FleetNode(
            id=node.id,
            gateway=node.gateway,
            connected=True,
            version=node.version,
            agent=node.agent,
            last_seen=node.last_seen,
            lag="" if newest and node.version == newest else behind,
            error=node.error,
            replica=node.replica,
        )

    def _newest(self, gateway: str) -> str:
        turn = self._reconciler.current
        return turn.versions.get(gateway, "") if turn is not None else ""
