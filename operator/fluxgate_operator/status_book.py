"""Every object's conditions: what translation found, and ``Programmed`` from the nodes.

Follows what changed: one object in ten thousand, or a node that got a step further, costs that
object or the objects of that step, not all of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fluxgate.difference import fresh
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.included import Included
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler, Reconciliation

_Scope = frozenset[str]
"""The gateways whose nodes count."""

_FOR_ROUTES = ("Backend", "Upstream")
"""Kinds that are served only where a route sends to them."""

_EVERY = Condition(
    ConditionType.PROGRAMMED,
    status=True,
    reason=Reason.PROGRAMMED,
    message="every node serves it",
)
"""Without the number of nodes: one node more is no news of ten thousand objects."""

_UNUSED = replace(_EVERY, message="no route sends to it, so there is nothing to serve")
_LEFT_OUT = Condition(
    ConditionType.PROGRAMMED,
    status=False,
    reason=Reason.PENDING,
    message="not part of the configuration",
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What was last said of an object, and of what."""

    status: ObjectStatus
    wanted: int
    scope: _Scope
    said: ObjectStatus


class StatusBook:
    """Reads statuses on demand; an object whose facts did not change gives the same status again.

    An object counts the nodes of the gateways it is part of; one that acts through others
    (a Plugin, a Tenant) counts all.
    """

    def __init__(self, reconciler: Reconciler, tracker: PropagationTracker) -> None:
        self._reconciler = reconciler
        self._tracker = tracker
        self._included = Included()
        self._turn: Reconciliation | None = None
        self._entries: dict[ObjectRef, _Entry] = {}
        self._order: dict[_Scope, list[tuple[int, ObjectRef]]] = {}
        """The objects of every scope by the turn they wait for; some are not there any more."""
        self._fleets: dict[_Scope, list[int]] = {}
        self._rejections: dict[ObjectRef, str] = {}
        self._pending: dict[tuple[int, int], Condition] = {}

    def statuses(self, rejections: Mapping[ObjectRef, str]) -> dict[ObjectRef, ObjectStatus]:
        """The status of every object; ``rejections`` are those of the running Envoys."""
        turn = self._reconciler.current
        if turn is None:
            return {}
        stale = self._changed_objects(turn)
        before, self._rejections = self._rejections, dict(rejections)
        stale |= {ref for ref, _ in before.items() ^ self._rejections.items()}
        stale |= self._concerned_by_nodes()
        for ref in stale & turn.built.statuses.keys():
            self._say(ref, turn.built.statuses[ref])
        self._tidy()
        return {ref: entry.said for ref, entry in self._entries.items()}

    def _changed_objects(self, turn: Reconciliation) -> set[ObjectRef]:
        """What translation or the gateways say otherwise than at the last look."""
        before, self._turn = self._turn, turn
        if before is turn:
            return set()
        known: Mapping[ObjectRef, ObjectStatus] = before.built.statuses if before else {}
        now = turn.built.statuses
        gateways = self._included.gateways
        stale = self._included.update(turn.built.snapshots)
        if self._included.gateways != gateways:
            stale |= now.keys()
        stale |= {status.ref for status in fresh(now.values(), known.values())}
        for gone in self._entries.keys() - now.keys():
            del self._entries[gone]
        return stale

    def _concerned_by_nodes(self) -> set[ObjectRef]:
        """The objects that wait for a turn some node served, or stopped serving, since then."""
        sequences = self._sequences()
        found: set[ObjectRef] = set()
        for scope, waiting in self._order.items():
            old, new = self._fleets.get(scope, []), _of_scope(scope, sequences)
            self._fleets[scope] = new
            if old != new:
                floor = min(_floor(old), _floor(new))
                found.update([ref for _, ref in waiting[_after(waiting, floor) :]])
        return found

    def _sequences(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for gateway, sequence in self._tracker.serving():
            found.setdefault(gateway, []).append(sequence)
        return found

    def _say(self, ref: ObjectRef, status: ObjectStatus) -> None:
        before = self._entries.get(ref)
        gateways = self._included.gateways_of(ref)
        scope = gateways or self._included.gateways
        wanted = self._reconciler.changed_in(ref)
        if before is None or (before.wanted, before.scope) != (wanted, scope):
            waiting = self._order.setdefault(scope, [])
            waiting.append((wanted, ref))
            if len(waiting) > 1 and waiting[-2][0] > wanted:
                waiting.sort()
        if scope not in self._fleets:
            self._fleets[scope] = _of_scope(scope, self._sequences())
        unused = ref.kind in _FOR_ROUTES and not gateways
        condition = self._programmed(status, self._fleets[scope], wanted, unused=unused)
        if before is not None and before.status is status and condition in before.said.conditions:
            self._entries[ref] = replace(before, wanted=wanted, scope=scope)
        else:
            self._entries[ref] = _Entry(status, wanted, scope, _with(status, condition))

    def _programmed(
        self, status: ObjectStatus, fleet: list[int], wanted: int, *, unused: bool
    ) -> Condition:
        rejection = self._rejections.get(status.ref)
        if rejection is not None:
            return replace(_LEFT_OUT, reason=Reason.ENVOY_REJECTED, message=rejection)
        if not status.accepted:
            return _LEFT_OUT
        if unused:
            return _UNUSED
        if wanted and wanted <= _floor(fleet):
            return _EVERY
        count = len(fleet) - bisect_left(fleet, wanted) if wanted else 0
        return self._waiting(count, len(fleet))

    def _waiting(self, count: int, total: int) -> Condition:
        known = self._pending.get((count, total))
        if known is None:
            if len(self._pending) > 1000:
                self._pending.clear()
            words = f"{count} of {total} nodes serve it" if total else "no node is connected"
            known = self._pending[count, total] = replace(_LEFT_OUT, message=words)
        return known

    def _tidy(self) -> None:
        """Drop what the order still holds of objects that moved on, once that is most of it."""
        if sum(map(len, self._order.values())) <= 2 * len(self._entries) + 1000:
            return
        self._order, self._fleets = {}, {}
        for ref, entry in self._entries.items():
            self._order.setdefault(entry.scope, []).append((entry.wanted, ref))
        sequences = self._sequences()
        for scope, waiting in self._order.items():
            waiting.sort()
            self._fleets[scope] = _of_scope(scope, sequences)


def _of_scope(scope: _Scope, sequences: Mapping[str, list[int]]) -> list[int]:
    """The turns that the nodes of some gateways serve, sorted."""
    return sorted(each for name in scope for each in sequences.get(name, ()))


def _floor(fleet: list[int]) -> int:
    """The newest turn that all of them serve; 0 without a node."""
    return fleet[0] if fleet else 0


def _after(waiting: list[tuple[int, ObjectRef]], floor: int) -> int:
    return bisect_left(waiting, (floor + 1,))


def _with(status: ObjectStatus, condition: Condition) -> ObjectStatus:
    if any(each.type is ConditionType.PROGRAMMED for each in status.conditions):
        return status
    return ObjectStatus(status.ref, status.observed_generation, (*status.conditions, condition))
