"""The control plane in process without a folder and without an Envoy of its own.

The real translator, builder, xDS server, tracker, isolator and status book, fed with
documents. Nodes are whoever connects to :attr:`ControlPlane.port`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import yaml

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore, ref_of
from fluxgate.status import Condition, ConditionType
from fluxgate_operator.culprits import Validator
from fluxgate_operator.isolation import Isolator
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.status_book import StatusBook
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerSettings


class ControlPlane:
    """Everything between the store and the nodes."""

    def __init__(self, settings: XdsServerSettings, validator: Validator) -> None:
        log = structlog.get_logger()
        self.store = ResourceStore()
        self.registry = NodeRegistry()
        self.cache = SnapshotCache()
        self.server = XdsServer(settings, self.cache, self.registry)
        self._synced = asyncio.Event()
        self.reconciler = Reconciler(
            self.store, CachedPipeline(), self.cache, self._wait_synced, log
        )
        self.tracker = PropagationTracker(self.registry, self.reconciler, log)
        self.isolator = Isolator(self.registry, self.reconciler, validator, log)
        self.book = StatusBook(self.reconciler, self.tracker)
        self.port = 0
        self._generation = 0

    async def _wait_synced(self) -> None:
        await self._synced.wait()

    def synced(self) -> None:
        """The initial listing is complete."""
        self._synced.set()

    def apply(self, text: str) -> int:
        """Create or replace objects; returns the revision that includes them."""
        for document in yaml.safe_load_all(text):
            self._generation += 1
            document["metadata"]["generation"] = self._generation
            self.store.upsert(parse_object(document))
        self.reconciler.poke()
        return self.store.revision

    def delete(self, text: str) -> int:
        """Remove the objects of these documents."""
        for document in yaml.safe_load_all(text):
            self.store.remove(ref_of(parse_object(document)))
        self.reconciler.poke()
        return self.store.revision

    def condition(self, kind: str, name: str, which: ConditionType) -> Condition | None:
        """One condition of an object."""
        statuses = self.book.statuses(self.isolator.runtime_rejections)
        status = statuses.get(ObjectRef(kind, "default", name))
        found = status.conditions if status is not None else ()
        return next((each for each in found if each.type is which), None)

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for ``condition``, which is looked at whenever anything changed."""
        async with asyncio.timeout(seconds):
            while not condition():
                waiting = [
                    signal.subscribe()
                    for signal in (
                        self.tracker.changed,
                        self.isolator.changed,
                        self.reconciler.done,
                    )
                ]
                nodes = asyncio.ensure_future(self.registry.changed())
                if not condition():
                    await asyncio.wait(
                        [*waiting, nodes], timeout=0.1, return_when=asyncio.FIRST_COMPLETED
                    )
                for each in [*waiting, nodes]:
                    each.cancel()


@asynccontextmanager
async def control_plane(
    validator: Validator, settings: XdsServerSettings | None = None
) -> AsyncIterator[ControlPlane]:
    """A running control plane; nothing is published before :meth:`ControlPlane.synced`."""
    plane = ControlPlane(settings or XdsServerSettings(port=0), validator)
    plane.port = await plane.server.start()
    loops = (plane.reconciler.run(), plane.tracker.run(), plane.isolator.run())
    tasks = [asyncio.create_task(each) for each in loops]
    try:
        yield plane
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await plane.server.stop(1.0)
