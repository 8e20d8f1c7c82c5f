"""Keeps the status of every object as the control plane sees it; the leader's work.

Compares before it writes: a patch that changes nothing costs the API server as much as any
other. Every patch carries the resource version it was made for, so that what a paused former
leader still sends is refused once anybody else has written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from structlog.typing import FilteringBoundLogger

from fluxgate.difference import fresh
from fluxgate.resources import ObjectRef
from fluxgate.status import ObjectStatus
from fluxgate_operator.election.clock import Clock, uptime
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import (
    ConflictError,
    InvalidError,
    KubeApiError,
    KubeError,
    NotFoundError,
)
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.intake import FactsReader, ObjectFacts
from fluxgate_operator.statuses.conditions import (
    Change,
    Urgency,
    change_of,
    invalid_status,
    patch_of,
)
from fluxgate_operator.statuses.memory import Known, Memory
from fluxgate_operator.statuses.queue import StatusQueue
from fluxgate_operator.statuses.settings import StatusSettings

_TYPES = {each.kind: each for each in OUR_TYPES}
_EXTENDED = ("GatewayConfig",)
"""Kinds, of few objects, whose extras change without their conditions: compared at every look."""

_SLICE = 0.002
"""Seconds of comparing without letting others run."""
_LOOK_AGAIN = 0.05
"""Seconds between two looks at nodes that are busy."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a writer asks the rest of its process.

    ``read`` gives the status of every object; one that did not change has to be the same
    Python object as before (as :class:`~fluxgate_operator.status_book.StatusBook` does it).
    ``leading`` says whether this replica writes. ``extras`` gives fields of a status besides the
    conditions, ``behind`` whether nodes have yet to take what was published last.
    """

    read: Callable[[], Mapping[ObjectRef, ObjectStatus]]
    leading: Callable[[], bool]
    extras: Callable[[ObjectRef], Mapping[str, Any]] = lambda _: MappingProxyType({})
    behind: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class StatusCounters:
    """Totals since the start of the process."""

    compared: int = 0
    written: int = 0
    conflicts: int = 0
    failed: int = 0


class StatusWriter:
    """Writes statuses while its replica leads; run :meth:`run`, and :meth:`poke` on every change."""

    def __init__(
        self,
        client: KubeClient,
        facts: FactsReader,
        outlook: Outlook,
        log: FilteringBoundLogger,
        settings: StatusSettings | None = None,
        clock: Clock = uptime,
    ) -> None:
        self._client = client
        self._facts = facts
        self._outlook = outlook
        self._log = log
        self._settings = settings or StatusSettings()
        self._clock = clock
        self._held_since: float | None = None
        self._queue = StatusQueue()
        self._memory = Memory()
        self._statuses: Mapping[ObjectRef, ObjectStatus] = {}
        self._troubled: Mapping[ObjectRef, ObjectFacts] = {}
        self._extended: set[ObjectRef] = set()
        self._told: set[ObjectRef] = set()
        self._compare_all_at = 0.0
        self._quiet_until = 0.0
        self._backoff = self._settings.backoff
        self._poked = asyncio.Event()
        self._sleeping_until = 0.0
        self._work = asyncio.Condition()
        self._searching = asyncio.Lock()
        self.counters = StatusCounters()

    @property
    def waiting(self) -> int:
        """How many objects are still to be looked at."""
        return len(self._queue)

    def poke(self) -> None:
        """Statuses, nodes or leadership changed; look soon."""
        self._poked.set()

    def look_at(self, refs: Iterable[ObjectRef]) -> None:
        """The extras of these objects became others."""
        self._told.update(refs)
        self.poke()

    async def run(self) -> None:
        """Follow and write until cancelled; nothing is sent after that."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            for _ in range(self._settings.concurrency):
                group.create_task(self._work_off())

    async def _follow(self) -> None:
        while True:
            self._poked.clear()
            if self._outlook.leading():
                self._scan()
            else:
                self._forget()
            due = self._queue.wake(self._clock())
            if len(self._queue):
                async with self._work:
                    self._work.notify(len(self._queue))
            await self._wait(due)

    async def _wait(self, due: float | None) -> None:
        """Until somebody pokes, or something is due; a second at most, for ``leading`` is a clock."""
        now = self._clock()
        pause = 1.0 if due is None else min(1.0, max(0.0, due - now))
        self._sleeping_until = now + pause
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._poked.wait()
        await asyncio.sleep(self._settings.coalesce_seconds)

    def _scan(self) -> None:
        """Queue what changed since the last look; everything, now and then."""
        now = self._clock()
        statuses, troubled = self._outlook.read(), self._facts.troubled()
        if now >= self._compare_all_at:
            self._compare_all_at = now + self._settings.resync_seconds
            self._memory.forget_seen(self._facts)
            self._queue.add(statuses)
            self._extended = {ref for ref in statuses if ref.kind in _EXTENDED}
            self._queue.add(troubled)
        else:
            changed = [each.ref for each in fresh(statuses.values(), self._statuses.values())]
            self._queue.add(changed)
            self._extended.update(ref for ref in changed if ref.kind in _EXTENDED)
            self._queue.add(self._extended)
            self._queue.add(
                ref for ref, facts in troubled.items() if self._troubled.get(ref) != facts
            )
        self._queue.add(self._told & statuses.keys())
        self._told = set()
        self._statuses, self._troubled = statuses, dict(troubled)

    def _forget(self) -> None:
        """Another replica writes: on our return everything is compared."""
        self._queue.clear()
        self._memory.clear()
        self._statuses, self._troubled, self._compare_all_at = {}, {}, 0.0
        self._extended, self._told = set(), set()

    async def _work_off(self) -> None:
        while True:
            facts, known, change = await self._next()
            try:
                await self._write(facts, known, change)
            finally:
                self._queue.release(facts.ref)

    async def _next(self) -> tuple[ObjectFacts, Known, Change]:
        """The next patch. One worker looks for it at a time, in slices, so that others run."""
        async with self._searching:
            while True:
                async with self._work:
                    await self._work.wait_for(lambda: len(self._queue) > 0)
                await self._keep_quiet()
                if self._lets_nodes_go_first():
                    await asyncio.sleep(_LOOK_AGAIN)
                    continue
                ends = self._clock() + _SLICE
                while self._clock() < ends and (ref := self._queue.take()) is not None:
                    if (found := self._needed(ref)) is not None:
                        return found
                    self._queue.release(ref)
                await asyncio.sleep(0)

    async def _keep_quiet(self) -> None:
        """The API server asked for, or needs, a pause."""
        left = self._quiet_until - self._clock()
        if left > 0:
            await asyncio.sleep(left)

    def _lets_nodes_go_first(self) -> bool:
        """Whether very many objects wait, and for nodes that are still busy with them."""
        if len(self._queue) <= self._settings.bulk or not self._outlook.behind():
            self._held_since = None
            return False
        now = self._clock()
        if self._held_since is None:
            self._held_since = now
        return now - self._held_since < self._settings.bulk_seconds

    def _needed(self, ref: ObjectRef) -> tuple[ObjectFacts, Known, Change] | None:
        """The patch ``ref`` needs now, if it needs one now."""
        self.counters.compared += 1
        facts = self._facts.facts(ref)
        wanted = self._wanted(ref, facts)
        if facts is None or wanted is None:
            self._queue.settle(ref)
            return None
        known = self._memory.known(facts)
        if known.refused:
            # the watch has not shown us yet what is there; asking again would be refused again
            self._retry(ref)
            return None
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        change = change_of(known.status, wanted, stamp, self._outlook.extras(ref))
        if change.urgency is Urgency.NEVER:
            self._queue.settle(ref)
            return None
        return (facts, known, change) if self._is_due(ref, change) else None

    def _wanted(self, ref: ObjectRef, facts: ObjectFacts | None) -> ObjectStatus | None:
        if facts is not None and facts.problems:
            return invalid_status(facts)
        return self._statuses.get(ref)

    def _is_due(self, ref: ObjectRef, change: Change) -> bool:
        settings, now = self._settings, self._clock()
        if change.urgency is Urgency.NOW:
            return True
        lost = change.urgency is Urgency.LOST
        hold = settings.lost_seconds if lost else settings.pending_seconds
        due = self._queue.postpone(ref, now + hold)
        self._wake_by(due)
        return due <= now

    def _retry(self, ref: ObjectRef) -> None:
        due = self._clock() + self._settings.backoff
        self._queue.again_at(ref, due)
        self._wake_by(due)

    def _wake_by(self, due: float) -> None:
        """Something is due before the follower meant to look."""
        if due < self._sleeping_until:
            self._sleeping_until = due
            self._poked.set()

    async def _write(self, facts: ObjectFacts, known: Known, change: Change) -> None:
        ref = facts.ref
        if not self._outlook.leading():
            return
        try:
            answer = await self._client.merge_patch(
                _TYPES[ref.kind],
                ref.namespace,
                ref.name,
                patch_of(facts, change, known.version),
                subresource="status",
            )
        except KubeError as error:
            self._failed(facts, known, error)
            return
        self._memory.wrote(ref, answer)
        self._queue.settle(ref)
        self._backoff = self._settings.backoff
        self.counters.written += 1

    def _failed(self, facts: ObjectFacts, known: Known, error: KubeError) -> None:
        ref = facts.ref
        if isinstance(error, NotFoundError):
            self._queue.settle(ref)
        elif isinstance(error, ConflictError):
            self.counters.conflicts += 1
            self._memory.refused(facts, known)
            self._retry(ref)
        elif isinstance(error, InvalidError):
            self.counters.failed += 1
            self._queue.settle(ref)
            self._log.error("the API server refuses a status", subject=str(ref), error=str(error))
        else:
            self.counters.failed += 1
            after = error.retry_after if isinstance(error, KubeApiError) else None
            self._pause(after, error)
            self._queue.add((ref,))

    def _pause(self, after: float | None, error: KubeError) -> None:
        """Stop writing for a while; longer and longer, as long as nothing gets through."""
        now = self._clock()
        if now < self._quiet_until:
            return  # one of many requests that failed together
        limit = self._settings.backoff_limit
        self._quiet_until = now + max(self._backoff, after or 0.0)
        if self._backoff == self._settings.backoff:
            self._log.warning("statuses cannot be written for now", error=str(error))
        self._backoff = min(limit, self._backoff * 2)
