"""This replica's own report."""

from __future__ import annotations

from fluxgate_operator.health import HealthBook
from fluxgate_operator.isolation import Isolator
from fluxgate_operator.notify import Signal
from fluxgate_operator.propagation import PropagationTracker, rejected_words
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.replicas.report import Report, ReportedNode


class LocalReport:
    """Reads what there is to tell; ``changed`` are the signals after which it may differ."""

    def __init__(
        self,
        reconciler: Reconciler,
        tracker: PropagationTracker,
        isolator: Isolator,
        health: HealthBook | None = None,
    ) -> None:
        self._reconciler = reconciler
        self._tracker = tracker
        self._isolator = isolator
        self._health = health or HealthBook()
        self.changed: tuple[Signal, ...] = (
            tracker.changed,
            isolator.changed,
            reconciler.done,
            self._health.changed,
        )

    def read(self) -> Report:
        """The nodes connected here, and what their Envoys would not take."""
        turn = self._reconciler.current
        newest = turn.versions if turn is not None else {}
        nodes = []
        for node in self._tracker.counted_nodes():
            version = self._tracker.serving_version(node)
            behind = version != newest.get(node.gateway, "")
            lag = self._tracker.lag_of(node).message if behind else ""
            connection = repr(node.connected_at)
            nodes.append(
                ReportedNode(
                    node.id,
                    node.gateway,
                    connection,
                    node.connected_at,
                    version,
                    lag,
                    rejected_words(node),
                    node.user_agent,
                    node.last_seen,
                )
            )
        return Report(
            tuple(nodes),
            dict(self._reconciler.set_aside),
            dict(self._isolator.runtime_rejections),
            self._health.own,
        )
