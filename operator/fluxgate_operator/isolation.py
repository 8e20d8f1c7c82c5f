"""Finds the object that made Envoy reject a configuration, and sets it aside.

A rejection names a type and quotes Envoy. Suspects are, in this order: objects whose
resources Envoy names; objects that changed since the last turn every node
acknowledged; everything. The real Envoy decides among them (``--mode validate``): the
smallest prefix of suspects that it refuses ends with a culprit, which is set aside,
until the rest is accepted. What fails only at run time (a port that cannot be bound) is
reported on the object that Envoy names and left in place: Envoy itself keeps serving
everything else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import NodeReader, SyncState
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot
from fluxgate.translator import SetAside, spec_digest
from fluxgate.xds import typeurl
from fluxgate.xds.static import static_bootstrap
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.envoy.words import concise
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import CachedPipeline, SetAsides
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler, Reconciliation

_ORDER = ("Route", "ApiKey", "Plugin", "Tenant", "Backend", "Upstream", "Secret", "Service")
"""Who refers comes before what is referred to: a prefix that holds a good route without its
bad backend is accepted, so the backend is found and not the route."""

_MAX_CULPRITS = 100
_WORDS = 1000


class Validator(Protocol):
    """The real Envoy's dry run."""

    async def validate(self, bootstrap: object) -> Validation:
        """Whether Envoy accepts this static bootstrap."""
        ...


@dataclass(frozen=True, slots=True)
class Rejected:
    """One rejection by one node: the type, its version in the snapshot, Envoy's words."""

    gateway: str
    type_url: str
    version: str
    message: str


@dataclass(frozen=True, slots=True)
class _Case:
    rejected: Rejected
    turn: Reconciliation
    acknowledged: int


class Isolator:
    """Follows rejections; run :meth:`run` beside the tracker."""

    def __init__(
        self,
        reader: NodeReader,
        reconciler: Reconciler,
        tracker: PropagationTracker,
        pipeline: CachedPipeline,
        validator: Validator,
        log: FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._reconciler = reconciler
        self._tracker = tracker
        self._pipeline = pipeline
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
        acknowledged = min(
            (
                self._reconciler.latest_sequence(node.gateway, node.snapshot)
                for node in self._reader.nodes(rejected.gateway)
                if node.connected
            ),
            default=0,
        )
        case = _Case(rejected, turn, acknowledged)
        self._log.warning(
            "envoy rejected a configuration; looking for the object that caused it",
            type=typeurl.short(rejected.type_url),
            envoy_says=rejected.message,
        )
        verdict = await self._try(case, {})
        if verdict.verdict is Verdict.REJECTED:
            culprits = await self._find(case)
            if culprits:
                self._set_aside(case, culprits)
                return
        self._note_runtime(case)

    async def _find(self, case: _Case) -> dict[ObjectRef, str]:
        """Every culprit with Envoy's words; empty when setting objects aside does not help."""
        for suspects in self._suspects(case):
            if not suspects:
                continue
            without = dict.fromkeys(suspects, "")
            if (await self._try(case, without)).ok:
                return await self._bisect(case, suspects)
        return {}

    def _suspects(self, case: _Case) -> list[list[ObjectRef]]:
        everything = _ordered(ref for ref, _ in case.turn.resources)
        named = named_objects(
            case.rejected.message,
            case.turn.built.snapshots[case.rejected.gateway],
            case.rejected.type_url,
        )
        changed = self._reconciler.changed_in
        recent = [ref for ref in everything if changed(ref) > case.acknowledged]
        return [_ordered(named & set(everything)), recent, everything]

    async def _bisect(self, case: _Case, suspects: Sequence[ObjectRef]) -> dict[ObjectRef, str]:
        culprits: dict[ObjectRef, str] = {}
        rest = list(suspects)
        while len(culprits) < _MAX_CULPRITS:
            verdict = await self._try(case, culprits)
            if verdict.verdict is not Verdict.REJECTED:
                return culprits
            low, high, words = 0, len(rest), verdict.message
            # Invariant: without rest[low:] Envoy accepts, without rest[high:] it refuses.
            while high - low > 1:
                middle = (low + high) // 2
                without = {**culprits, **dict.fromkeys(rest[middle:], "")}
                found = await self._try(case, without)
                if found.verdict is Verdict.REJECTED:
                    high, words = middle, found.message
                else:
                    low = middle
            culprits[rest.pop(high - 1)] = words[:_WORDS]
            if not rest:
                return culprits
        return culprits

    async def _try(self, case: _Case, without: Mapping[ObjectRef, str]) -> Validation:
        """Envoy's verdict on the turn's resources without some of them."""
        resources = case.turn.resources
        aside = {**case.turn.set_aside, **_entries(case.turn, without)}
        built = self._pipeline.build(resources, aside)
        await asyncio.sleep(0)
        snapshot = built.snapshots.get(case.rejected.gateway)
        if snapshot is None:
            return Validation(Verdict.OK)
        return await self._validator.validate(static_bootstrap(snapshot))

    def _set_aside(self, case: _Case, culprits: Mapping[ObjectRef, str]) -> None:
        for ref, words in culprits.items():
            self._log.error(
                "envoy rejects an object; it is set aside", subject=str(ref), envoy_says=words
            )
        self._reconciler.set_objects_aside(
            {**self._reconciler.set_aside, **_entries(case.turn, culprits)}
        )
        self.changed.notify()

    def _note_runtime(self, case: _Case) -> None:
        snapshot = case.turn.built.snapshots[case.rejected.gateway]
        gateway = case.turn.built.gateways[case.rejected.gateway]
        named = named_objects(case.rejected.message, snapshot, case.rejected.type_url)
        self._runtime = {each: refs for each, refs in self._runtime.items() if each in self._seen}
        self._runtime[case.rejected] = tuple(sorted(named)) or (gateway.origin,)
        self._log.error(
            "envoy rejects a part of the configuration that a dry run accepts; the rest is served",
            subjects=[str(ref) for ref in self._runtime[case.rejected]],
            envoy_says=case.rejected.message,
        )
        self.changed.notify()


def named_objects(message: str, snapshot: Snapshot, type_url: str) -> set[ObjectRef]:
    """The objects whose resources or routes Envoy names in ``message``."""
    found: set[ObjectRef] = set()
    for name, resource in snapshot.of_type(type_url).items():
        if name and len(resource.origins) > 0 and _mentions(message, name):
            found.update(resource.origins)
    for namespace, name in re.findall(r"\broute/([a-z0-9-]+)/([a-z0-9.-]+)", message):
        found.add(ObjectRef("Route", namespace, name))
    return found


def _mentions(message: str, name: str) -> bool:
    return re.search(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])", message) is not None


def _ordered(refs: object) -> list[ObjectRef]:
    ranks = {kind: rank for rank, kind in enumerate(_ORDER)}
    known = [ref for ref in refs if ref.kind in ranks]  # type: ignore[attr-defined]
    return sorted(known, key=lambda ref: (ranks[ref.kind], ref))


def _entries(turn: Reconciliation, words: Mapping[ObjectRef, str]) -> SetAsides:
    found = {}
    for ref, message in words.items():
        obj = turn.resources.get(ref)
        if obj is not None:
            found[ref] = SetAside(spec_digest(obj), message)
    return found
