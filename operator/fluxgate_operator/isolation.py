"""Finds the object that made Envoy reject a configuration, and sets it aside.

A rejection names a type and quotes Envoy. Suspects are, in this order: objects whose
resources Envoy names; objects that changed since the last turn every node
acknowledged; everything. The real Envoy decides among them (``--mode validate``, see
:mod:`fluxgate_operator.culprits`), and the culprits are set aside. What fails only at run time (a port that cannot be bound) is
reported on the object that Envoy names and left in place: Envoy itself keeps serving
everything else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import NodeReader, SyncState
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot
from fluxgate.translator import spec_digest
from fluxgate.xds import typeurl
from fluxgate_operator.culprits import (
    Culprits,
    Group,
    Validator,
    World,
    find_culprits,
    set_asides,
)
from fluxgate_operator.envoy.words import concise
from fluxgate_operator.notify import Signal
from fluxgate_operator.reconciler import Reconciler, Reconciliation

_OBJECT = re.compile(r"\b(route|plugin)/([a-z0-9-]+)/([a-z0-9.-]+)")
"""How names that we give Envoy say which object they are of."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejection by one node: the type, its version in the snapshot, Envoy's words."""

    gateway: str
    type_url: str
    version: str
    message: str


class Isolator:
    """Follows rejections; run :meth:`run` beside the tracker."""

    def __init__(
        self,
        reader: NodeReader,
        reconciler: Reconciler,
        validator: Validator,
        log: FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._reconciler = reconciler
        self._validator = validator
        self._log = log
        self._seen: set[Rejected] = set()
        self._runtime: dict[Rejected, tuple[ObjectRef, ...]] = {}
        self.changed = Signal()

    @property
    def runtime_rejections(self) -> Mapping[ObjectRef, str]:
        """Objects Envoy rejects only when it runs, with its words; for as long as it does."""
        standing = self._standing()
        return {
            ref: f"{typeurl.short(each.type_url)}: {each.message}"
            for each, refs in self._runtime.items()
            if each in standing
            for ref in refs
        }

    async def run(self) -> None:
        """Isolate until cancelled."""
        while True:
            nodes_changed = asyncio.ensure_future(self._reader.changed())
            turn_done = self._reconciler.done.subscribe()
            try:
                self._forget_repaired()
                for rejected in sorted(self._standing() - self._seen, key=repr):
                    self._seen.add(rejected)
                    await self._isolate_safely(rejected)
                self._seen &= self._standing()
                await asyncio.wait((nodes_changed, turn_done), return_when=asyncio.FIRST_COMPLETED)
            finally:
                nodes_changed.cancel()
                turn_done.cancel()

    def _standing(self) -> set[Rejected]:
        """Rejections of what is published now."""
        turn = self._reconciler.current
        if turn is None:
            return set()
        found = set()
        for node in self._reader.nodes():
            snapshot = turn.built.snapshots.get(node.gateway)
            if snapshot is None or not node.connected:
                continue
            for url, state in node.types.items():
                if (
                    state.state is SyncState.REJECTED
                    and state.nack is not None
                    and state.nack.version == snapshot.versions.get(url)
                ):
                    nack = state.nack
                    found.add(Rejected(node.gateway, url, nack.version, concise(nack.message)))
        return found

    def _forget_repaired(self) -> None:
        """An object that says something else now, or is gone, is no longer set aside."""
        aside, turn = self._reconciler.set_aside, self._reconciler.current
        if not aside or turn is None:
            return
        kept = {}
        for ref, entry in aside.items():
            obj = turn.resources.get(ref)
            if obj is not None and spec_digest(obj) == entry.digest:
                kept[ref] = entry
        if len(kept) != len(aside):
            self._reconciler.set_objects_aside(kept)

    async def _isolate_safely(self, rejected: Rejected) -> None:
        try:
            await self._isolate(rejected)
        except Exception:  # noqa: BLE001 - see below
            # A bug here must not take down what is served; the rejection itself stays visible.
            self._log.exception(
                "looking for the rejected object failed", envoy_says=rejected.message
            )

    async def _isolate(self, rejected: Rejected) -> None:
        turn = self._reconciler.current
        if turn is None:
            return
        self._log.warning(
            "envoy rejected a configuration; looking for the object that caused it",
            type=typeurl.short(rejected.type_url),
            envoy_says=rejected.message,
        )
        gateway = turn.built.gateways[rejected.gateway]
        world = World(turn.resources, turn.set_aside, gateway)
        groups = self._suspects(rejected, turn)
        culprits = await find_culprits(world, self._validator, (rejected.type_url,), groups)
        if culprits:
            self._set_aside(turn, culprits)
        else:
            self._note_runtime(rejected, turn)

    def _suspects(self, rejected: Rejected, turn: Reconciliation) -> list[Group]:
        """Objects Envoy names; objects newer than what every node acknowledged; everything."""
        snapshot = turn.built.snapshots[rejected.gateway]
        named = named_objects(rejected.message, snapshot, rejected.type_url)
        acknowledged = min(
            (
                self._reconciler.latest_sequence(node.gateway, node.snapshot)
                for node in self._reader.nodes(rejected.gateway)
                if node.connected
            ),
            default=0,
        )
        changed = self._reconciler.changed_in
        return [
            lambda origins: not named.isdisjoint(origins),
            lambda origins: any(changed(ref) > acknowledged for ref in origins),
            lambda _: True,
        ]

    def _set_aside(self, turn: Reconciliation, culprits: Culprits) -> None:
        for ref, words in culprits.items():
            self._log.error(
                "envoy rejects an object; it is set aside", subject=str(ref), envoy_says=words
            )
        self._reconciler.set_objects_aside(
            {**self._reconciler.set_aside, **set_asides(turn.resources, culprits)}
        )
        self.changed.notify()

    def _note_runtime(self, rejected: Rejected, turn: Reconciliation) -> None:
        snapshot = turn.built.snapshots[rejected.gateway]
        gateway = turn.built.gateways[rejected.gateway]
        named = named_objects(rejected.message, snapshot, rejected.type_url)
        self._runtime = {each: refs for each, refs in self._runtime.items() if each in self._seen}
        self._runtime[rejected] = tuple(sorted(named)) or (gateway.origin,)
        self._log.error(
            "envoy rejects a part of the configuration that a dry run accepts; the rest is served",
            subjects=[str(ref) for ref in self._runtime[rejected]],
            envoy_says=rejected.message,
        )
        self.changed.notify()


def named_objects(message: str, snapshot: Snapshot, type_url: str) -> set[ObjectRef]:
    """The objects whose resources or routes Envoy names in ``message``."""
    found: set[ObjectRef] = set()
    for name, resource in snapshot.of_type(type_url).items():
        if name and len(resource.origins) > 0 and _mentions(message, name):
            found.update(resource.origins)
    for kind, namespace, name in _OBJECT.findall(message):
        found.add(ObjectRef(kind.capitalize(), namespace, name))
    return found


def _mentions(message: str, name: str) -> bool:
    return (
        name in message
        and re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])", message) is not None
    )
