"""How a GatewayConfig is exposed, and the condition ``Exposed`` that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.exposure.address import Address, admitted
from fluxgate_operator.kube.client import Document

_NAMED = 5
"""How many objects a message names; there is one Route for every host."""


@dataclass(frozen=True, slots=True)
class State:
    """As of the last look. ``complete``: everything that is wanted is there.

    ``fronts`` are the objects where requests come in, ``waiting`` those of them that no address
    is known of, ``kept`` the former ones that stay until then; each as ``kind namespace/name``.
    """

    kind: str = "None"
    complete: bool = True
    addresses: tuple[Address, ...] = ()
    problems: tuple[str, ...] = ()
    fronts: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


def shown(document: Document) -> str:
    """An object as messages name it."""
    meta = document["metadata"]
    return f"{document['kind']} {meta['namespace']}/{meta['name']}"


def is_front(document: Document) -> bool:
    """Whether requests from outside come in here; a Service of type ClusterIP stands behind."""
    return not (document["kind"] == "Service" and document["spec"].get("type") == "ClusterIP")


def waiting_of(fronts: list[Document]) -> tuple[str, ...]:
    """Those of the fronts that lead nowhere yet, as far as they tell."""
    return tuple([shown(each) for each in fronts if not admitted(each)])


def condition_of(state: State) -> Condition | None:
    """``Exposed`` of a GatewayConfig; None for one that is not to be exposed, and is not."""
    if state.kind == "None" and not state.problems:
        return None
    told = "; ".join(state.problems)
    if not state.complete or (state.problems and not state.fronts):
        return _exposed(Reason.NOT_EXPOSED, told)
    if not state.fronts:
        return _exposed(Reason.PENDING, "no route is served yet, so there is no host to expose")
    if state.waiting:
        kept = f"; {_listed(state.kept)} stays until then" if state.kept else ""
        words = f"{_listed(state.waiting)} has no address yet{kept}"
        return _exposed(Reason.PENDING, "; ".join(filter(None, (told, words))))
    if state.problems:
        return _exposed(Reason.PARTIALLY_EXPOSED, told)
    return _exposed(Reason.EXPOSED, f"by {_listed(state.fronts)}")


def _exposed(reason: Reason, message: str) -> Condition:
    status = reason in (Reason.EXPOSED, Reason.PARTIALLY_EXPOSED)
    return Condition(ConditionType.EXPOSED, status=status, reason=reason, message=message)


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


class ExposedStatuses:
    """Adds the condition to the statuses of GatewayConfigs.

    A status whose condition did not change stays the same Python object, as the writer of
    statuses wants it.
    """

    def __init__(self) -> None:
        self._made: dict[ObjectRef, tuple[ObjectStatus, State, ObjectStatus]] = {}

    def add(
        self, statuses: Mapping[ObjectRef, ObjectStatus], states: Mapping[ObjectRef, State]
    ) -> dict[ObjectRef, ObjectStatus]:
        """``statuses``, without those of GatewayConfigs that were not looked at yet.

        What is not known is not written, so that no condition goes and comes with a new leader.
        """
        found = dict(statuses)
        for ref in [each for each in found if each.kind == "GatewayConfig"]:
            state = states.get(ref)
            if state is None:
                del found[ref]
            else:
                found[ref] = self._with(found[ref], state)
        for gone in self._made.keys() - found.keys():
            del self._made[gone]
        return found

    def _with(self, status: ObjectStatus, state: State) -> ObjectStatus:
        known = self._made.get(status.ref)
        if known is not None and known[0] is status and known[1] == state:
            return known[2]
        condition = condition_of(state)
        made = status
        if condition is not None:
            made = replace(status, conditions=(*status.conditions, condition))
        self._made[status.ref] = status, state, made
        return made
