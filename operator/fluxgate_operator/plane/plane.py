"""The control plane of this process, for the admin API in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

from fluxgate.ir import Gateway
from fluxgate.ports import FleetNode, Pending, PoolState, Propagation
from fluxgate.resources import ObjectRef, Resources
from fluxgate.status import ObjectStatus
from fluxgate_operator.engine import Engine
from fluxgate_operator.health import HealthBook
from fluxgate_operator.plane.fleet import FleetBook
from fluxgate_operator.plane.pools import PoolBook
from fluxgate_operator.plane.sight import Sight

_NOTHING = Resources(MappingProxyType({}), revision=0)


class EnginePlane:
    """See :class:`fluxgate.ports.ControlPlane`; everything is read from memory.

    ``statuses`` gives the conditions of every object, ``replica`` is the name of this process among
    the replicas, empty where it is the only one.
    """

    def __init__(
        self,
        engine: Engine,
        statuses: Callable[[], Mapping[ObjectRef, ObjectStatus]],
        health: HealthBook,
        sight: Sight,
        replica: str = "",
    ) -> None:
        self._engine = engine
        self._statuses = statuses
        self._sight = sight
        self._pools = PoolBook(health)
        self._fleet = FleetBook(engine.reconciler, engine.tracker, replica)

    @property
    def ready(self) -> bool:
        """Whether there has been a turn with everything that is there."""
        return self._engine.reconciler.current is not None

    def resources(self) -> Resources:
        """Every object, as it was translated last."""
        turn = self._engine.reconciler.current
        return turn.resources if turn is not None else _NOTHING

    def statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        """The conditions of every object, ``Programmed`` included."""
        return self._statuses()

    def gateways(self) -> Mapping[str, Gateway]:
        """What was translated, by the name nodes ask for."""
        turn = self._engine.reconciler.current
        return turn.built.gateways if turn is not None else {}

    def pools(self) -> tuple[PoolState, ...]:
        """Every pool, and how Envoys find its targets."""
        return self._pools.pools(self.gateways())

    def nodes(self) -> tuple[FleetNode, ...]:
        """Every node that is or was lately connected."""
        return self._fleet.nodes()

    async def seen(self, writes: Iterable[Pending], seconds: float) -> int | None:
        """The revision that includes ``writes``, once :meth:`resources` has them; None if too late."""
        reconciler = self._engine.reconciler
        try:
            async with asyncio.timeout(seconds):
                await self._sight.taken_in(writes)
                revision = self._engine.store.revision
                while True:
                    turn_done = reconciler.done.subscribe()
                    if reconciler.sequence_of(revision) is not None:
                        turn_done.cancel()
                        return revision
                    await turn_done
        except TimeoutError:
            return None

    def gathering(self) -> AbstractContextManager[None]:
        """What is written until the end of the block is taken into one turn, or a few."""
        return self._engine.reconciler.gathering()

    async def wait(self, revision: int, seconds: float) -> Propagation:
        """Who serves ``revision``: as soon as all do, or after ``seconds``."""
        return await self._engine.tracker.wait(revision, seconds)
