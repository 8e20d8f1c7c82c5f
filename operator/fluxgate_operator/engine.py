"""From the store to the nodes and back: what every composition root is built around.

Sources of resources, servers and whoever writes down what came of it are joined by the
root (:mod:`fluxgate_operator.standalone`, :mod:`fluxgate_operator.controller`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ResourceStore
from fluxgate_operator.culprits import Validator
from fluxgate_operator.isolation import Isolator
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.propagation import PropagationTracker, RemoteNodes
from fluxgate_operator.reconciler import Observe, Reconciler, unobserved
from fluxgate_operator.settings import HoldoffSettings
from fluxgate_operator.validity import ValidityClock
from fluxgate_operator.vetting import Vetting
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry


class Engine:
    """Store, snapshots, nodes, and the three loops between them. To be made inside a running loop.

    ``synced`` returns when the store holds everything for the first time; ``observe`` is told
    of every turn; ``remotes`` are the nodes of other replicas.
    """

    def __init__(
        self,
        pipeline: CachedPipeline,
        synced: Callable[[], Awaitable[None]],
        validator: Validator,
        log: FilteringBoundLogger,
        holdoff: HoldoffSettings,
        observe: Observe = unobserved,
        remotes: RemoteNodes | None = None,
    ) -> None:
        self.store = ResourceStore()
        self.cache = SnapshotCache()
        self.registry = NodeRegistry()
        self.reconciler = Reconciler(
            self.store,
            pipeline,
            self.cache,
            synced,
            log,
            holdoff,
            observe,
            Vetting(validator, log),
        )
        self.tracker = PropagationTracker(self.registry, self.reconciler, log, remotes=remotes)
        self.isolator = Isolator(self.registry, self.reconciler, validator, log)
        self.validity = ValidityClock(self.store, self.reconciler)

    async def first_turn(self) -> None:
        """Return when the reconciler has had a turn, whatever came of it."""
        while self.reconciler.current is None and not self.reconciler.failure:
            await self.reconciler.done.wait()

    def follow_nodes(self, group: asyncio.TaskGroup) -> None:
        """Start the loops that follow what nodes say about the turns."""
        group.create_task(self.tracker.run(), name="tracker")
        group.create_task(self.isolator.run(), name="isolator")
        group.create_task(self.validity.run(), name="validity of certificates")
