"""The world with proposals in it, translated beside the one that is served.

Caches of their own make that cost what the proposals change, not what there is. They are filled
by the first trial; where the world is large that one takes seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fluxgate.resources import Object, ObjectRef, Resources
from fluxgate_operator.pipeline import Built, CachedPipeline
from fluxgate_operator.reconciler import Reconciliation
from fluxgate_operator.trial.overlay import Overlay


@dataclass(frozen=True, slots=True)
class Outcome:
    """Before and after, made by the same caches: what did not change is the same object."""

    resources: Resources
    before: Built
    after: Built


@dataclass(frozen=True, slots=True)
class _Last:
    """What the caches have seen last: bundle ``number``, ``overlaid`` over ``base``."""

    number: int
    base: Resources
    overlaid: frozenset[ObjectRef] = frozenset()


class Workbench:
    """Translates one set of proposals at a time, in a thread: the event loop belongs to the nodes."""

    def __init__(self, pipeline: CachedPipeline) -> None:
        self._pipeline = pipeline
        self._turn = asyncio.Lock()
        self._base: tuple[Resources, object, Built] | None = None
        self._bundles = 1
        self._last: _Last | None = None
        self._work: asyncio.Task[Outcome] | None = None

    async def prepare(self, base: Reconciliation) -> None:
        """Fill the caches, so that the first trial need not."""
        await self._alone(base, Overlay({}), ())

    async def build(
        self,
        base: Reconciliation,
        overlay: Overlay,
        more: Iterable[Object],
        begun: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """What ``overlay`` makes of ``base``; ``begun`` is called when its turn has come.

        Whoever gives up waiting leaves the work to finish.
        """
        return await self._alone(base, overlay, tuple(more), begun)

    async def _alone(
        self,
        base: Reconciliation,
        overlay: Overlay,
        more: tuple[Object, ...],
        begun: Callable[[], None] = lambda: None,
    ) -> Outcome:
        await self._turn.acquire()
        begun()
        work = asyncio.create_task(asyncio.to_thread(self._build, base, overlay, more))
        work.add_done_callback(self._finished)
        self._work = work
        return await asyncio.shield(work)

    def _finished(self, work: asyncio.Task[Outcome]) -> None:
        """A thread cannot be cancelled, and nobody else may use the caches while it runs."""
        self._turn.release()
        if not work.cancelled() and work.exception() is not None:
            self._base = self._last = None

    def _build(self, base: Reconciliation, overlay: Overlay, more: tuple[Object, ...]) -> Outcome:
        before = self._before(base)
        proposed = overlay.over(base.resources, more, self._next())
        after = self._pipeline.build(self._after_last(proposed, base.resources), base.set_aside)
        self._last = _Last(self._bundles, base.resources, proposed.touched)
        if more:
            # what only the proposals refer to, Secrets above all, is not kept
            self._base = None
            self._before(base)
        return Outcome(proposed, before, after)

    def _before(self, base: Reconciliation) -> Built:
        """What is there now, made by these caches; from memory while it stays the same."""
        known = self._base
        if known is not None and known[0] is base.resources and known[1] is base.set_aside:
            return known[2]
        now = base.resources
        bundle = Resources(now.objects, self._next())
        built = self._pipeline.build(self._after_last(bundle, now), base.set_aside)
        self._base = now, base.set_aside, built
        self._last = _Last(self._bundles, now)
        return built

    def _after_last(self, bundle: Resources, base: Resources) -> Resources:
        """``bundle``, which lies over ``base``, saying what is new since the last one built."""
        last = self._last
        if last is None:
            return bundle
        touched = bundle.touched | last.overlaid | base.changed_since(last.base)
        return replace(bundle, base=-last.number, touched=touched)

    def _next(self) -> int:
        """A revision that no store ever has: caches must not take two bundles for one."""
        self._bundles += 1
        return -self._bundles
