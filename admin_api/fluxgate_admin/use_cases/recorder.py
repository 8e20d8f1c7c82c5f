"""The recorder: what a watch shows becomes history, whichever way it came in.

It reads news and writes them down in batches; a database that is away holds the watch up instead of losing
what it says. A watch may be behind what writers have told history meanwhile, and what it shows may be gone
again. So when history cannot tell which of two states is newer, the object is read again, and counts only
if history did not move meanwhile. Every replica may run one: history keeps each state once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from structlog.typing import FilteringBoundLogger

from fluxgate.api.canonical import digest
from fluxgate.api.v1alpha1 import KINDS
from fluxgate.errors import ResourceClientError, ResourceNotFoundError
from fluxgate.ports import ChangeType, ResourceChange, ResourceClient, Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.use_cases.journal import Journal, Observation, Verdict, observation_of

RECORDED = tuple(kind.__name__ for kind in KINDS)
"""Every kind of ours."""
_BATCH = 200
_ATTEMPTS = 8
"""Times an object is read while others keep changing it; a recheck tries once more later."""


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """Seconds.

    ``recheck`` is how often history is compared with what the watch has shown, ``patience`` how long after
    its beginning a write may still be made, ``pause`` the first wait after a failure.
    """

    recheck: float = 300.0
    patience: float = 180.0
    pause: float = 0.2
    longest_pause: float = 15.0


class Recorder:
    """Follows every object of our kinds that ``client`` shows.

    ``namespaces`` are those it shows, empty for all: what history has of others is not gone because it is not
    shown. ``caught_up`` is set once everything that was there at the start is in history.
    """

    def __init__(
        self,
        client: ResourceClient,
        journal: Journal,
        *,
        log: FilteringBoundLogger,
        clock: Callable[[], dt.datetime],
        settings: RecorderSettings | None = None,
        namespaces: Collection[str] = (),
    ) -> None:
        self._client, self._journal, self._log, self._clock = client, journal, log, clock
        self._settings = settings or RecorderSettings()
        self._namespaces = frozenset(namespaces)
        # None: a watch has begun, and what it lists next is all there is
        self._news: asyncio.Queue[ResourceChange | None] = asyncio.Queue(_BATCH)
        self._shown: dict[ObjectRef, str] = {}
        self._listed: set[ObjectRef] = set()
        self.caught_up = asyncio.Event()

    async def run(self) -> None:
        """Record until cancelled. What fails is told, and tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read(), name="recorder reads")
            tasks.create_task(self._write(), name="recorder writes")

    async def _read(self) -> None:
        pauses = self._pauses()
        while True:
            await self._news.put(None)
            watch = self._client.watch(RECORDED)
            try:
                async for change in watch:
                    await self._news.put(change)
                    pauses = self._pauses()
            except ResourceClientError as error:
                self._log.warning("recorder_watch_lost", error=str(error))
            finally:
                # an iterator that is a generator holds its connection until it is closed
                if (close := getattr(watch, "aclose", None)) is not None:
                    await close()
            await asyncio.sleep(next(pauses))

    async def _write(self) -> None:
        time = asyncio.get_running_loop().time
        due = time() + self._settings.recheck
        while True:
            for part in _parts(await self._batch(due)):
                await self._until_done(partial(self._take, part))
            if time() >= due:
                if self.caught_up.is_set():
                    await self._until_done(self._recheck)
                due = time() + self._settings.recheck

    async def _batch(self, until: float) -> list[ResourceChange | None]:
        try:
            async with asyncio.timeout_at(until):
                first = await self._news.get()
        except TimeoutError:
            return []
        more = min(self._news.qsize(), _BATCH - 1)
        return [first, *(self._news.get_nowait() for _ in range(more))]

    async def _take(self, part: Sequence[ResourceChange | None]) -> None:
        """Take in news of objects, or one of the two others. Doing it again does no harm."""
        if part[0] is None:
            self._listed = set()
            # what history has already needs no transaction each
            self._shown = await self._living()
        elif part[0].type is ChangeType.SYNCED:
            await self._vanished()
            await self._settle()
            self.caught_up.set()
        else:
            await self._record([each for each in part if each is not None])

    async def _record(self, news: Sequence[ResourceChange]) -> None:
        seen = [observation_of(each) for each in news]
        self._listed |= {each.ref for each in seen if each.stored is not None}
        shown: dict[ObjectRef, str] = {}
        fresh: list[Observation] = []
        for each in seen:
            now = _digest(each.stored)
            if shown.get(each.ref, self._shown.get(each.ref, "")) != now:
                fresh.append(each)
            shown[each.ref] = now
        outcomes = await self._journal.keep(fresh) if fresh else ()
        doubtful = [
            observation.ref
            for observation, outcome in zip(fresh, outcomes, strict=True)
            if outcome.verdict is Verdict.DOUBTFUL
        ]
        for ref in dict.fromkeys(doubtful):
            shown[ref] = await self._confirm(ref)
        # only now: when something failed, all of it is done again
        for ref, known in shown.items():
            if known:
                self._shown[ref] = known
            else:
                self._shown.pop(ref, None)

    async def _vanished(self) -> None:
        """What history has and the watch did not list is gone, unless it was made meanwhile."""
        living = await self._living()
        for ref in sorted(set(living) - self._listed):
            await self._confirm(ref)
        self._shown = {ref: each for ref, each in self._shown.items() if ref in self._listed}
        self._listed = set()

    async def _recheck(self) -> None:
        """Look at every object of which history says something else than the watch said last."""
        living = await self._living()
        for ref in sorted({*living, *self._shown}):
            if living.get(ref) != self._shown.get(ref):
                self._shown[ref] = await self._confirm(ref)
        await self._settle()

    async def _living(self) -> dict[ObjectRef, str]:
        """What is there as far as history knows, of what the client shows."""
        living = await self._journal.living(RECORDED)
        return {ref: each for ref, each in living.items() if self._shows(ref)}

    def _shows(self, ref: ObjectRef) -> bool:
        return not self._namespaces or ref.namespace in self._namespaces

    async def _settle(self) -> None:
        """See what became of writes whose writer never said (its process ended); forget those not made."""
        patience = dt.timedelta(seconds=self._settings.patience)
        for intent, ref in await self._journal.overdue(self._clock() - patience):
            if self._shows(ref):
                await self._confirm(ref)
                await self._journal.abandon(intent)

    async def _confirm(self, ref: ObjectRef) -> str:
        """Read an object and keep what it is now; again when history moved on meanwhile. Gives its digest."""
        for _ in range(_ATTEMPTS):
            since = await self._journal.newest(ref)
            try:
                stored = await self._client.get(ref)
            except ResourceNotFoundError:
                stored = None
            (outcome,) = await self._journal.keep([Observation(ref, stored, since)])
            if outcome.verdict is not Verdict.DOUBTFUL:
                return _digest(stored)
        self._log.info("recorder_outpaced", object=str(ref))
        return ""

    async def _until_done(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do it however often the database or the API server is away: news wait meanwhile."""
        pauses = self._pauses()
        while True:
            try:
                return await step()
            except (UnavailableError, ResourceClientError) as error:
                self._log.warning("recorder_waits", error=str(error))
            await asyncio.sleep(next(pauses))

    def _pauses(self) -> Iterator[float]:
        pause = self._settings.pause
        while True:
            yield pause
            pause = min(2 * pause, self._settings.longest_pause)


def _parts(
    news: Sequence[ResourceChange | None],
) -> Iterator[list[ResourceChange | None]]:
    """Runs of news of objects; the beginning of a watch and SYNCED each for themselves."""
    run: list[ResourceChange | None] = []
    for each in news:
        if each is not None and each.ref is not None:
            run.append(each)
            continue
        if run:
            yield run
        run = []
        yield [each]
    if run:
        yield run


def _digest(stored: Stored | None) -> str:
    return "" if stored is None else digest(stored.document)
