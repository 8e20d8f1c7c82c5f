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


@dataclass(slots=True)
class _Entry:
    """What was last said of an object, and of what."""

    status: ObjectStatus
    wanted: int
    scope: _Scope
    unused: bool
    condition: Condition


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
        self._said: dict[ObjectRef, ObjectStatus] = {}
        self._scopes: dict[_Scope, _Scope] = {}
        """Every scope once, so that equal ones are the same object."""
        self._order: dict[_Scope, list[tuple[int, ObjectRef]]] = {}
        """The objects of every scope by the turn they wait for; some are not there any more."""
        self._unsorted: set[_Scope] = set()
        """Scopes whose order has to be sorted: once, however many objects came."""
        self._fleets: dict[_Scope, list[int]] = {}
        self._rejections: dict[ObjectRef, str] = {}
        self._pending: dict[tuple[int, int], Condition] = {}

    def statuses(self, rejections: Mapping[ObjectRef, str]) -> dict[ObjectRef, ObjectStatus]:
        """The status of every object; ``rejections`` are those of the running Envoys."""
        turn = self._reconciler.current
        if turn is None:
            return {}
        for ref in self._changed_objects(turn):
            self._place(ref, turn.built.statuses[ref])
        for scope in self._unsorted:
            self._order[scope].sort()
        self._unsorted.clear()
        before, self._rejections = self._rejections, dict(rejections)
        for ref, _ in before.items() ^ self._rejections.items():
            if ref in self._entries:
                self._say(ref, self._entries[ref])
        self._follow_nodes()
        self._tidy()
        return dict(self._said)

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
            del self._entries[gone], self._said[gone]
        return stale & now.keys()

    def _follow_nodes(self) -> None:
        """Look at the objects that wait for a turn some node served, or stopped serving."""
        sequences = self._sequences()
        for scope, waiting in self._order.items():
            old, new = self._fleets.get(scope, []), _of_scope(scope, sequences)
            if old == new:
                continue
            self._fleets[scope] = new
            for wanted, ref in waiting[_after(waiting, min(_floor(old), _floor(new))) :]:
                entry = self._entries.get(ref)
                if entry is not None and entry.wanted == wanted and entry.scope is scope:
                    self._say(ref, entry)

    def _sequences(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for gateway, sequence in self._tracker.serving():
            found.setdefault(gateway, []).append(sequence)
        return found

    def _place(self, ref: ObjectRef, status: ObjectStatus) -> None:
        """An object is new, or something about it changed that is not its nodes."""
        gateways = self._included.gateways_of(ref)
        scope = gateways or self._included.gateways
        scope = self._scopes.setdefault(scope, scope)
        wanted = self._reconciler.changed_in(ref)
        unused = ref.kind in _FOR_ROUTES and not gateways
        before = self._entries.get(ref)
        if before is None or before.wanted != wanted or before.scope is not scope:
            waiting = self._order.setdefault(scope, [])
            waiting.append((wanted, ref))
            if len(waiting) > 1 and waiting[-2][0] > wanted:
                self._unsorted.add(scope)
        if scope not in self._fleets:
            self._fleets[scope] = _of_scope(scope, self._sequences())
        if before is not None and before.status is status:
            before.wanted, before.scope, before.unused = wanted, scope, unused
            self._say(ref, before)
            return
        entry = self._entries[ref] = _Entry(status, wanted, scope, unused, _LEFT_OUT)
        entry.condition = self._programmed(entry)
        self._said[ref] = _with(status, entry.condition)

    def _say(self, ref: ObjectRef, entry: _Entry) -> None:
        """Renew the condition; what did not change is said in the same words and object."""
        condition = self._programmed(entry)
        if condition is not entry.condition and condition != entry.condition:
            entry.condition = condition
            self._said[ref] = _with(entry.status, condition)

    def _programmed(self, entry: _Entry) -> Condition:
        rejection = self._rejections.get(entry.status.ref) if self._rejections else None
        if rejection is not None:
            return replace(_LEFT_OUT, reason=Reason.ENVOY_REJECTED, message=rejection)
        if not entry.status.accepted:
            return _LEFT_OUT
        if entry.unused:
            return _UNUSED
        fleet, wanted = self._fleets[entry.scope], entry.wanted
        if fleet and 0 < wanted <= fleet[0]:
            return _EVERY
        return self._waiting(len(fleet) - bisect_left(fleet, wanted) if wanted else 0, len(fleet))

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
