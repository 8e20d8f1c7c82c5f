"""Every object's conditions: what translation found, and ``Programmed`` from the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fluxgate.ports import NodeState
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler


class StatusBook:
    """Reads statuses on demand; an object whose facts did not change gives the same status again."""

    def __init__(self, reconciler: Reconciler, tracker: PropagationTracker) -> None:
        self._reconciler = reconciler
        self._tracker = tracker
        self._known: dict[ObjectRef, tuple[ObjectStatus, Condition, ObjectStatus]] = {}

    def statuses(self, rejections: Mapping[ObjectRef, str]) -> dict[ObjectRef, ObjectStatus]:
        """The status of every object; ``rejections`` are those of the running Envoy."""
        turn = self._reconciler.current
        if turn is None:
            return {}
        nodes = self._tracker.counted_nodes()
        served = [(node, self._tracker.serving_sequence(node)) for node in nodes]
        known: dict[ObjectRef, tuple[ObjectStatus, Condition, ObjectStatus]] = {}
        for ref, status in turn.built.statuses.items():
            condition = self._programmed(status, served, rejections.get(ref))
            known[ref] = self._entry(ref, status, condition)
        self._known = known
        return {ref: entry[2] for ref, entry in known.items()}

    def _entry(
        self, ref: ObjectRef, status: ObjectStatus, condition: Condition
    ) -> tuple[ObjectStatus, Condition, ObjectStatus]:
        before = self._known.get(ref)
        if before is not None and before[0] is status and before[1] == condition:
            return before
        if any(each.type is ConditionType.PROGRAMMED for each in status.conditions):
            return status, condition, status
        return status, condition, replace(status, conditions=(*status.conditions, condition))

    def _programmed(
        self,
        status: ObjectStatus,
        served: list[tuple[NodeState, int]],
        rejection: str | None,
    ) -> Condition:
        kind = ConditionType.PROGRAMMED
        if rejection is not None:
            return Condition(kind, status=False, reason=Reason.ENVOY_REJECTED, message=rejection)
        if not status.accepted:
            return Condition(
                kind, status=False, reason=Reason.PENDING, message="not part of the configuration"
            )
        wanted = self._reconciler.changed_in(status.ref)
        count = sum(1 for _, sequence in served if wanted and sequence >= wanted)
        whole = bool(served) and count == len(served)
        return Condition(
            kind,
            status=whole,
            reason=Reason.PROGRAMMED if whole else Reason.PENDING,
            message=f"{count} of {len(served)} nodes serve it",
        )
