"""Who serves a change: the one sentence ``sync_status`` stands for, and the nodes it is not true of yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fluxgate.ports import ControlPlane, Lag
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.sight import redacted


class SyncStatus(StrEnum):
    """Where a change is. The first only after the proof, never on trust."""

    PROPAGATED = "propagated_to_all_nodes"
    PENDING = "pending"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Laggard:
    """A node that does not serve the change, and why."""

    node: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Sync:
    """What is known of a change's propagation.

    ``nodes`` are the laggards of gateways the caller sees, ``hidden`` counts the others. ``message`` says what
    keeps a change that no node can be named for, and quotes Envoy when it rejects.
    """

    status: SyncStatus
    nodes: tuple[Laggard, ...] = ()
    hidden: int = 0
    message: str = ""


DONE = Sync(SyncStatus.PROPAGATED)


class Proofs:
    """Asks a control plane for proof."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def of(
        self,
        principal: Principal,
        refs: Collection[ObjectRef],
        revision: int | None,
        seconds: float,
    ) -> Sync:
        """Who serves ``revision`` after at most ``seconds``; None is one the plane has not seen."""
        if revision is None:
            return Sync(
                SyncStatus.PENDING, message="the control plane has not taken the change in yet"
            )
        found = await self._plane.wait(revision, seconds)
        statuses = self._plane.statuses()
        for words in filter(None, (rejection(statuses.get(ref)) for ref in refs)):
            return Sync(SyncStatus.REJECTED, message=redacted(principal, words))
        if found.complete:
            return DONE
        if not found.served and not found.lagging:
            return Sync(SyncStatus.PENDING, message="no node is connected")
        return self._pending(principal, found.lagging)

    def known(self, principal: Principal, statuses: Mapping[ObjectRef, ObjectStatus]) -> Known:
        """What conditions tell at this moment, for a whole page of objects."""
        nodes = self._plane.nodes()
        everywhere = bool(nodes) and not any(each.lag for each in nodes)
        return Known(principal, statuses, everywhere)

    def _pending(self, principal: Principal, lagging: tuple[Lag, ...]) -> Sync:
        visible = set(self._visible_nodes(principal))
        shown = tuple(
            Laggard(lag.node, lag.reason.value, redacted(principal, lag.message))
            for lag in lagging
            if lag.node in visible
        )
        return Sync(SyncStatus.PENDING, shown, len(lagging) - len(shown))

    def _visible_nodes(self, principal: Principal) -> Iterator[str]:
        gateways = self._plane.gateways()
        for node in self._plane.nodes():
            gateway = gateways.get(node.gateway)
            if principal.namespaces is None or (
                gateway is not None and principal.sees(gateway.origin.namespace)
            ):
                yield node.id


@dataclass(frozen=True, slots=True)
class Known:
    """Conditions, read for one caller."""

    principal: Principal
    statuses: Mapping[ObjectRef, ObjectStatus]
    everywhere: bool
    """Whether every node serves the newest configuration, whatever that is."""

    def sync(self, ref: ObjectRef) -> Sync:
        """Where an object is."""
        status = self.statuses.get(ref)
        if words := rejection(status):
            return Sync(SyncStatus.REJECTED, message=redacted(self.principal, words))
        programmed = condition(status, ConditionType.PROGRAMMED)
        if programmed is not None and programmed.status:
            return DONE
        if status is not None and not status.accepted and self.everywhere:
            return DONE  # that it is not served is what every node has been told
        return Sync(SyncStatus.PENDING)

    def conditions(self, ref: ObjectRef) -> tuple[Condition, ...]:
        """The conditions of an object, without names of others."""
        status = self.statuses.get(ref)
        return tuple(
            Condition(each.type, each.status, each.reason, redacted(self.principal, each.message))
            for each in (status.conditions if status is not None else ())
        )

    def state(self, ref: ObjectRef) -> str:
        """One word: active, disabled, invalid, rejected, or pending before the first look."""
        status = self.statuses.get(ref)
        if status is None:
            return "pending"
        if rejection(status):
            return "rejected"
        if status.accepted:
            return "active"
        reasons = {each.reason for each in status.conditions if not each.status}
        return "disabled" if Reason.DISABLED in reasons else "invalid"


def condition(status: ObjectStatus | None, kind: ConditionType) -> Condition | None:
    """The condition of one type."""
    found = status.conditions if status is not None else ()
    return next((each for each in found if each.type is kind), None)


def rejection(status: ObjectStatus | None) -> str:
    """Envoy's words, when it rejects the object; else nothing."""
    programmed = condition(status, ConditionType.PROGRAMMED)
    if programmed is None or programmed.reason is not Reason.ENVOY_REJECTED:
        return ""
    return programmed.message or "rejected"
