"""What another replica's Envoys rejected is set aside here too, before ours reject it.

So all replicas serve the same snapshot, whichever of them a node is connected to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef, Resources
from fluxgate.translator import SetAside, spec_digest
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import SetAsides
from fluxgate_operator.reconciler import Reconciler


class PeerSetAsides(Protocol):
    """What the other replicas have set aside."""

    @property
    def changed(self) -> Signal:
        """Notified when :meth:`set_asides` may give something else."""
        ...

    def set_asides(self) -> Mapping[ObjectRef, tuple[SetAside, ...]]:
        """By object, one entry for every content that some replica has set aside."""
        ...


class Adopter:
    """Run :meth:`run` beside the isolator, which forgets what was repaired."""

    def __init__(
        self, peers: PeerSetAsides, reconciler: Reconciler, log: FilteringBoundLogger
    ) -> None:
        self._peers = peers
        self._reconciler = reconciler
        self._log = log

    async def run(self) -> None:
        """Adopt until cancelled."""
        while True:
            told, turn_done = self._peers.changed.subscribe(), self._reconciler.done.subscribe()
            try:
                self._adopt()
                await asyncio.wait((told, turn_done), return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
                turn_done.cancel()

    def _adopt(self) -> None:
        turn = self._reconciler.current
        if turn is None:
            return
        found = adopted(turn.resources, self._reconciler.set_aside, self._peers.set_asides())
        for ref, aside in found.items():
            self._log.warning(
                "an object that envoy rejected at another replica is set aside here too",
                subject=str(ref),
                envoy_says=aside.message,
            )
        if found:
            self._reconciler.set_objects_aside({**self._reconciler.set_aside, **found})


def adopted(
    resources: Resources, own: SetAsides, theirs: Mapping[ObjectRef, tuple[SetAside, ...]]
) -> dict[ObjectRef, SetAside]:
    """What of ``theirs`` is news: objects that say here exactly what was rejected there."""
    found: dict[ObjectRef, SetAside] = {}
    for ref, entries in theirs.items():
        obj = resources.get(ref)
        if obj is None:
            continue
        digest = spec_digest(obj)
        known = own.get(ref)
        if known is not None and known.digest == digest:
            continue
        match = next((each for each in entries if each.digest == digest), None)
        if match is not None:
            found[ref] = match
    return found
