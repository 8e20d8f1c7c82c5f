"""The one loop: whatever changed, make the snapshots right.

Waits for the initial sync, coalesces a burst, then
``freeze -> translate -> build -> publish``. When building fails, which is a bug of
ours and never a user's mistake, the last good snapshot stays published and
:attr:`Reconciler.failure` says what happened.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Gateway
from fluxgate.ports import SnapshotSink
from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.snapshot import Snapshot
from fluxgate_operator.holdoff import hold_off
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import Built, SetAsides
from fluxgate_operator.settings import HoldoffSettings

_HISTORY = 4096

Observe = Callable[[float, bool], None]
"""Told of every turn: how many seconds it took, and whether it succeeded."""


def unobserved(_seconds: float, _succeeded: bool) -> None:
    """Nobody counts turns."""


class Vet(Protocol):
    """Tries what users may write of code and raw configuration, before it is published."""

    def pending(self, gateways: Mapping[str, Gateway]) -> bool:
        """Whether something has not been tried yet."""
        ...

    async def check(
        self, resources: Resources, set_aside: SetAsides, gateways: Mapping[str, Gateway]
    ) -> SetAsides:
        """Objects to set aside, besides those that are."""
        ...


class Pipeline(Protocol):
    """From resources to snapshots; pure but for its caches."""

    def build(self, resources: Resources, set_aside: SetAsides) -> Built:
        """Translate and build everything, without the objects set aside."""
        ...


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One turn of the loop. ``sequence`` counts turns; ``changed`` are objects new in this one."""

    sequence: int
    resources: Resources
    set_aside: SetAsides
    built: Built

    @property
    def versions(self) -> dict[str, str]:
        """The version published for every gateway."""
        return {name: snapshot.version for name, snapshot in self.built.snapshots.items()}


class Reconciler:
    """Runs the loop. Everything is called from one event loop; nothing here blocks on I/O."""

    def __init__(
        self,
        store: ResourceStore,
        pipeline: Pipeline,
        sink: SnapshotSink,
        synced: Callable[[], Awaitable[None]],
        log: FilteringBoundLogger,
        holdoff: HoldoffSettings | None = None,
        observe: Observe = unobserved,
        vet: Vet | None = None,
    ) -> None:
        self._observe = observe
        self._vet = vet
        self._store = store
        self._pipeline = pipeline
        self._sink = sink
        self._synced = synced
        self._log = log
        self._holdoff = holdoff or HoldoffSettings()
        self._wanted = asyncio.Event()
        self._set_aside: SetAsides = {}
        self._frozen: Resources | None = None
        """What a turn is about to take, where policies were tried before it."""
        self._revisions: list[int] = []
        self._sequences: list[int] = []
        self._latest: dict[tuple[str, str], int] = {}
        self._changed_in: dict[ObjectRef, int] = {}
        self._writers = 0
        """How many write a batch now."""
        self._written = asyncio.Event()
        self.current: Reconciliation | None = None
        self.failure: str = ""
        self.done = Signal()

    @property
    def set_aside(self) -> SetAsides:
        """The objects left out because Envoy rejects them."""
        return self._set_aside

    def poke(self) -> None:
        """Something changed; reconcile soon."""
        self._wanted.set()

    def set_objects_aside(self, objects: SetAsides) -> None:
        """Leave exactly these objects out from now on."""
        if dict(objects) != dict(self._set_aside):
            self._set_aside = dict(objects)
            self.poke()

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Somebody writes many objects: what comes meanwhile is one turn, when all is written.

        A file alone takes longer than a pause between two changes of a burst: without this each would be a turn.
        """
        self._writers += 1
        self._written.clear()
        try:
            yield
        finally:
            self._writers -= 1
            if not self._writers:
                self._written.set()

    async def _gather(self) -> None:
        """Wait for those who write many objects; not for ever, and not for each of a queue of them."""
        if self._writers:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._holdoff.gathering):
                    await self._written.wait()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self._synced()
        await self._reconcile_vetted()
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            await self._gather()
            await hold_off(self._wanted, self._holdoff, loop.time)
            await self._reconcile_vetted()

    async def _reconcile_vetted(self) -> None:
        """One turn, whose new code and raw configuration the real Envoy has tried before."""
        if self._vet is not None:
            resources = self._frozen = self._store.freeze()
            try:
                built = self._pipeline.build(resources, self._set_aside)
                if self._vet.pending(built.gateways):
                    found = await self._vet.check(resources, self._set_aside, built.gateways)
                    self._set_aside = {**self._set_aside, **found}
            except Exception:  # noqa: BLE001 - the turn itself says what is wrong
                self._log.exception("trying new policies failed; the turn goes on without")
        self.reconcile()

    def reconcile(self) -> bool:
        """One turn, now. Returns whether it succeeded."""
        began = time.perf_counter()
        succeeded = self._turn()
        self._observe(time.perf_counter() - began, succeeded)
        return succeeded

    def _turn(self) -> bool:
        resources, self._frozen = self._frozen or self._store.freeze(), None
        before = self.current
        try:
            built = self._pipeline.build(resources, self._set_aside)
            for name, snapshot in built.snapshots.items():
                if before is None or before.built.snapshots.get(name) is not snapshot:
                    self._sink.publish(name, snapshot)
            for name in self._gone(before, built):
                self._sink.publish(name, Snapshot.of(()))
        except Exception as error:  # noqa: BLE001 - a bug must not take the gateway down
            self.failure = f"{type(error).__name__}: {error}"
            self._log.exception(
                "building the configuration failed; the last good one stays",
                revision=resources.revision,
            )
            self.done.notify()
            return False
        self.failure = ""
        self._note(before, Reconciliation(self._next_sequence(), resources, self._set_aside, built))
        return True

    def sequence_of(self, revision: int) -> int | None:
        """The first turn that included this revision of the store; None when it is yet to come."""
        index = bisect_left(self._revisions, revision)
        return self._sequences[index] if index < len(self._sequences) else None

    def latest_sequence(self, gateway: str, version: str) -> int:
        """The newest turn whose snapshot of ``gateway`` has this version; 0 when none has."""
        return self._latest.get((gateway, version), 0)

    def changed_in(self, ref: ObjectRef) -> int:
        """The turn in which this object, as it is now, was first included."""
        return self._changed_in.get(ref, 0)

    def _next_sequence(self) -> int:
        return self.current.sequence + 1 if self.current is not None else 1

    @staticmethod
    def _gone(before: Reconciliation | None, built: Built) -> list[str]:
        """Gateways that were published and are no more."""
        if before is None:
            return []
        return [name for name in before.built.snapshots if name not in built.snapshots]

    def _note(self, before: Reconciliation | None, now: Reconciliation) -> None:
        self.current = now
        self._revisions.append(now.resources.revision)
        self._sequences.append(now.sequence)
        if len(self._sequences) > 2 * _HISTORY:
            del self._revisions[:_HISTORY], self._sequences[:_HISTORY]
            oldest = self._sequences[0]
            self._latest = {key: seq for key, seq in self._latest.items() if seq >= oldest}
        for key in now.versions.items():
            self._latest[key] = now.sequence
        # Whoever waits (tracker, status) runs only after this; the nodes are served already.
        self._note_objects(before, now)
        self.done.notify()

    def _note_objects(self, before: Reconciliation | None, now: Reconciliation) -> None:
        """Remember in which turn each object took its present form."""
        for ref in now.resources.changed_since(before.resources if before is not None else None):
            if now.resources.get(ref) is None:
                self._changed_in.pop(ref, None)
            else:
                self._changed_in[ref] = now.sequence
        old_aside: Mapping[ObjectRef, object] = before.set_aside if before is not None else {}
        for ref in old_aside.keys() ^ now.set_aside.keys():
            if ref in self._changed_in:
                self._changed_in[ref] = now.sequence
