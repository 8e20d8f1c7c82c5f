"""Which objects are looked at next: the newest first, each by one worker at a time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from fluxgate.resources import ObjectRef


class StatusQueue:
    """Objects to look at, objects to look at later, and objects in somebody's hands.

    The newest first: whoever just changed one object waits for it, while ten thousand others
    that changed because a node came or went are waited for by nobody.
    """

    def __init__(self) -> None:
        self._ready: dict[ObjectRef, None] = {}
        self._busy: set[ObjectRef] = set()
        self._again: set[ObjectRef] = set()
        self._due: dict[ObjectRef, float] = {}
        self._timers: list[tuple[float, ObjectRef]] = []

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def later(self) -> int:
        """How many wait for their time."""
        return len(self._due)

    def add(self, refs: Iterable[ObjectRef]) -> None:
        """Look at these next, before everything else."""
        for ref in refs:
            if ref in self._busy:
                self._again.add(ref)
            else:
                self._ready.pop(ref, None)
                self._ready[ref] = None

    def take(self) -> ObjectRef | None:
        """The newest; it is the taker's until :meth:`release`."""
        if not self._ready:
            return None
        ref, _ = self._ready.popitem()
        self._busy.add(ref)
        return ref

    def release(self, ref: ObjectRef) -> None:
        """The taker is done; what changed meanwhile is looked at again."""
        self._busy.discard(ref)
        if ref in self._again:
            self._again.discard(ref)
            self.add((ref,))

    def postpone(self, ref: ObjectRef, due: float) -> float:
        """Look again at ``due``, unless it is to be earlier; returns when it will be."""
        known = self._due.get(ref)
        if known is not None and known <= due:
            return known
        self._due[ref] = due
        heapq.heappush(self._timers, (due, ref))
        return due

    def again_at(self, ref: ObjectRef, due: float) -> None:
        """Look again at ``due`` and, unless the object is added, not before."""
        self.settle(ref)
        self.postpone(ref, due)

    def due_at(self, ref: ObjectRef) -> float | None:
        """When a postponed object will be looked at."""
        return self._due.get(ref)

    def settle(self, ref: ObjectRef) -> None:
        """There is nothing to look at later any more."""
        self._due.pop(ref, None)

    def wake(self, now: float) -> float | None:
        """Make ready what is due; returns when the next one is.

        Those woken stay postponed until settled, so that whoever takes them can tell that
        their time has come.
        """
        while self._timers:
            due, ref = self._timers[0]
            if self._due.get(ref) != due:
                heapq.heappop(self._timers)
            elif due <= now:
                heapq.heappop(self._timers)
                self.add((ref,))
            else:
                return due
        return None

    def clear(self) -> None:
        """Forget everything that nobody works on."""
        self._ready.clear()
        self._again.clear()
        self._due.clear()
        self._timers.clear()
