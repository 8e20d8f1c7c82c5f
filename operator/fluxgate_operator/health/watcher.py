"""Asks every connected Envoy how its endpoints are, and keeps the book up to date.

Envoy has no interface that tells of active checks and of ejections by itself
(docs/decisions/0023), so it is asked: cheaply, whether there were failures since the last time, and
only then which endpoints of which clusters. Where no pool is checked nobody is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Cluster, Gateway
from fluxgate.ports import NodeReader, NodeState
from fluxgate_operator.errors import EnvoyAdminError
from fluxgate_operator.health.book import NONE, HealthBook, NodeKey
from fluxgate_operator.health.readings import (
    FAILURES_PATH,
    Ailing,
    Ailment,
    clusters_path,
    read_endpoints,
    read_failures,
    statistics_name,
)
from fluxgate_operator.health.sources import Ask, Source
from fluxgate_operator.reconciler import Reconciler

_BATCH = 100
"""Clusters that are asked for in one request."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """How often Envoys are asked. Seconds.

    A node is asked every ``interval``; less often when it has so many clusters that ``each`` of
    them adds up to more (a question costs Envoy a good µs a cluster, so the default is under 1 % of
    one CPU), or when there are more nodes than ``per_second`` allows. A node that has not answered
    for ``patience`` is not known any more.
    """

    interval: float = 1.0
    each: float = 0.0002
    per_second: float = 25.0
    patience: float = 30.0


class HealthWatcher:
    """Run :meth:`run` beside the reconciler."""

    def __init__(
        self,
        reader: NodeReader,
        reconciler: Reconciler,
        source: Source,
        book: HealthBook,
        log: FilteringBoundLogger,
        settings: HealthSettings | None = None,
    ) -> None:
        self._reader = reader
        self._reconciler = reconciler
        self._source = source
        self._book = book
        self._log = log
        self._settings = settings or HealthSettings()
        self._watched: dict[NodeKey, tuple[float, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow nodes as they come and go until cancelled."""
        try:
            while True:
                changed = asyncio.create_task(self._reader.changed())
                await asyncio.sleep(0)  # let changed() subscribe before the nodes are read
                try:
                    self._attend()
                    await changed
                finally:
                    changed.cancel()
        finally:
            for _, task in self._watched.values():
                task.cancel()

    def _attend(self) -> None:
        nodes = {(node.gateway, node.id): node for node in self._reader.nodes() if node.connected}
        for key, (connected_at, task) in list(self._watched.items()):
            if key not in nodes or nodes[key].connected_at != connected_at:
                task.cancel()
                del self._watched[key]
                if key not in nodes:
                    self._book.forget(key)
        for key, node in nodes.items():
            if key not in self._watched:
                task = asyncio.create_task(self._watch(key, node), name=f"health of {node.id}")
                task.add_done_callback(self._check)
                self._watched[key] = (node.connected_at, task)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("asking for health failed unexpectedly", error=repr(error))

    async def _watch(self, key: NodeKey, node: NodeState) -> None:
        source = self._source(node)
        if source is not None:
            async with source as ask:
                await self._keep_asking(key, ask)

    async def _keep_asking(self, key: NodeKey, ask: Ask) -> None:
        loop, inquiry = asyncio.get_running_loop(), Inquiry()
        answered = loop.time()
        while True:
            turn_done = self._reconciler.done.subscribe()
            clusters = self._clusters(key[0])
            if not inquiry.concerns(clusters):
                self._book.put(key, NONE)
                await turn_done
                continue
            try:
                self._book.put(key, await inquiry.ask(ask))
                answered = loop.time()
            except EnvoyAdminError as error:
                self._log.debug("a node does not tell its health", node=key[1], error=str(error))
                if loop.time() - answered > self._settings.patience:
                    self._book.forget(key)
            await asyncio.sleep(self._pause(len(clusters)))

    def _clusters(self, gateway: str) -> Sequence[Cluster]:
        turn = self._reconciler.current
        found: Gateway | None = turn.built.gateways.get(gateway) if turn is not None else None
        return found.clusters if found is not None else ()

    def _pause(self, clusters: int) -> float:
        settings = self._settings
        crowd = len(self._watched) / settings.per_second
        return max(settings.interval, clusters * settings.each, crowd)


class Inquiry:
    """What one node was asked and has answered so far."""

    def __init__(self) -> None:
        self._clusters: Sequence[Cluster] | None = None
        self._names: dict[str, str] = {}
        """Clusters whose endpoints can ail, by their names in statistics."""
        self._failures: Mapping[str, tuple[int, ...]] = {}
        self._ailing: dict[str, Mapping[str, tuple[Ailment, ...]]] = {}

    def concerns(self, clusters: Sequence[Cluster]) -> bool:
        """Whether there is anything to ask about ``clusters``, which are those of now."""
        if clusters is not self._clusters:
            self._clusters = clusters
            self._names = {
                statistics_name(each.name): each.name
                for each in clusters
                if each.active_check is not None or each.outlier_detection is not None
            }
        return bool(self._names)

    async def ask(self, ask: Ask) -> Ailing:
        """Everything that ails now. Raises :class:`EnvoyAdminError`; then nothing is forgotten."""
        names = self._names
        failures = read_failures(await ask(FAILURES_PATH))
        changed = {name for name, _ in failures.items() ^ self._failures.items()}
        suspected = {names[each] for each in changed if each in names}
        suspected |= {each for each in self._ailing if names.get(statistics_name(each)) == each}
        found: dict[str, Mapping[str, tuple[Ailment, ...]]] = {}
        for batch in _batches(sorted(suspected)):
            found |= read_endpoints(await ask(clusters_path(batch)))
        self._failures = failures
        self._ailing = {name: each for name, each in found.items() if each}
        return dict(self._ailing)


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), _BATCH):
        yield names[at : at + _BATCH]
