"""Many objects in one write: each with an outcome of its own, tried together, proven once.

A bad object never stops the others. What is good about a batch is found as Envoy would see it: all together, so
that a Route may come with the Backend it needs; what is bad is taken out, and the rest is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from functools import partial

from fluxgate.errors import (
    ResourceConflictError,
    ResourceError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from fluxgate.ports import ControlPlane, ResourceClient, Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import (
    AdminError,
    ConflictError,
    PreconditionFailedError,
    UnavailableError,
)
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.batch_items import BatchOutcome, Entry, Item
from fluxgate_admin.use_cases.batch_order import in_ranks
from fluxgate_admin.use_cases.batch_trial import BatchTrial
from fluxgate_admin.use_cases.changes import Changes, Seen
from fluxgate_admin.use_cases.documents import equal, etag_of_document, read
from fluxgate_admin.use_cases.drafts import WriteOptions
from fluxgate_admin.use_cases.failures import refusals, refused_by_store
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import DONE, Proofs, Sync
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.writer import Failure, Writer, Written

MOST = 500
"""Objects of one batch."""
AT_ONCE = 8
"""Objects that are read or written at the same time."""
_TOGETHER = 100
"""Objects that are announced, and recorded, in one transaction."""
_ATTEMPTS = 4
_RACES = (ResourceConflictError, ResourceExistsError, ResourceNotFoundError)


class Batches:
    """Makes many changes at once; see :class:`Changes` for the way of each."""

    def __init__(
        self,
        plane: ControlPlane,
        resources: ResourceClient,
        trials: Trials,
        writer: Writer,
        changes: Changes,
    ) -> None:
        self._plane = plane
        self._resources = resources
        self._trials = trials
        self._trial = BatchTrial(trials, changes)
        self._writer = writer
        self._changes = changes
        self._proofs = Proofs(plane)

    async def apply(
        self, principal: Principal, items: Sequence[Item], options: WriteOptions
    ) -> BatchOutcome:
        """Make every object be what its item says. Raises nothing for what one of them holds."""
        entries = [Entry(index, item) for index, item in enumerate(items)]
        self._authorise(principal, entries)
        await self._read(principal, entries)
        left = [each for each in entries if each.changes]
        if options.dry_run:
            report = await self._trial.run(principal, left, options)
            await self._write(principal, entries, options)
            return BatchOutcome(entries, DONE, report, dry_run=True)
        async with self._changes.claims.held(each.item.document for each in left):
            report = await self._trial.run(principal, left, options)
            with self._plane.gathering():
                await self._write(principal, entries, options)
            made = [(each.item.ref, each.stored) for each in entries if each.changes]
            self._trials.stored([ref for ref, _ in made], report, options)
            seen = await self._changes.seen(made, options) if made else None
        sync = await self._prove(principal, entries, seen, options)
        return BatchOutcome(entries, sync, report)

    def _authorise(self, principal: Principal, entries: Sequence[Entry]) -> None:
        seen: set[ObjectRef] = set()
        for each in entries:
            try:
                self._changes.authorise(principal, each.item.ref)
                self._changes.check_document(each.draft)
                if each.item.ref in seen:
                    raise ConflictError(
                        f"{each.item.ref} is in this batch twice.", error="duplicate"
                    )
            except AdminError as error:
                each.error = error
            seen.add(each.item.ref)

    async def _read(self, principal: Principal, entries: Sequence[Entry]) -> None:
        async def look(each: Entry) -> None:
            if each.error is None:
                try:
                    with refusals():
                        await self._look(principal, each)
                except AdminError as error:
                    each.error = error

        await _together(look(each) for each in entries)

    async def _look(self, principal: Principal, each: Entry) -> None:
        """What is there, and what there is to do."""
        ref, wanted = each.item.ref, each.item.document
        try:
            current: Stored | None = await self._resources.get(ref)
        except ResourceNotFoundError:
            current = None
        each.current, each.stored = current, current
        self._changes.check_reach(principal, each.draft, partial(read, current))
        known = etag_of_document(current.document) if current is not None else ""
        if each.item.etag is not None and each.item.etag != known:
            raise PreconditionFailedError(
                f"{ref} is not the version that etag names; read it again."
            )
        if wanted is None:
            each.change = RevisionChange.DELETED if current is not None else None
        elif current is None:
            each.change = RevisionChange.CREATED
        else:
            each.change = None if equal(current.document, wanted) else RevisionChange.UPDATED

    async def _write(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> None:
        """By rank: what others need comes first, and goes last."""
        away: UnavailableError | None = None
        for part in _parts([each for each in entries if each.changes]):
            if away is None:
                away = await self._write_part(principal, part, options)
            else:
                for each in part:
                    each.error = UnavailableError(f"Not tried: {away.message}")

    async def _write_part(
        self, principal: Principal, part: Sequence[Entry], options: WriteOptions
    ) -> UnavailableError | None:
        """Write some together; gives what keeps all others from being written, too."""
        changes = [(each.current, each.draft) for each in part]
        try:
            outcomes = await self._writer.write_all(principal, changes, options, at_once=AT_ONCE)
        except UnavailableError as error:
            for each in part:
                each.error = error
            return error
        away: UnavailableError | None = None
        for each, outcome in zip(part, outcomes, strict=True):
            try:
                with refusals():
                    await self._settle(principal, each, outcome, options)
            except AdminError as error:
                each.error = error
                away = error if isinstance(error, UnavailableError) else away
        return away

    async def _settle(
        self, principal: Principal, each: Entry, outcome: Written | Failure, options: WriteOptions
    ) -> None:
        """Take in what became of a write; when somebody was faster it is made again, on top of that."""
        for _ in range(_ATTEMPTS):
            if isinstance(outcome, Written):
                each.stored, each.revision = outcome.stored, outcome.revision
                each.warnings += outcome.doubts(principal, each.draft)
                return
            if isinstance(outcome, ResourceError):
                raise refused_by_store(principal, outcome, each.draft) from outcome
            raced = isinstance(outcome, _RACES)
            if not raced or (isinstance(outcome, ResourceNotFoundError) and each.current is None):
                raise outcome
            await self._look(principal, each)
            if each.change is None:
                return
            changes = [(each.current, each.draft)]
            (outcome,) = await self._writer.write_all(principal, changes, options, at_once=1)
        raise ConflictError(f"{each.item.ref} is being changed by others all the time; try again.")

    async def _prove(
        self,
        principal: Principal,
        entries: Sequence[Entry],
        seen: Seen | None,
        options: WriteOptions,
    ) -> Sync:
        if seen is not None:
            refs = [each.item.ref for each in entries if each.changes]
            return await self._proofs.of(principal, refs, seen.revision, seen.seconds)
        seconds = options.seconds if options.wait else 0.0
        refs = [each.item.ref for each in entries if each.error is None]
        return await self._proofs.of(principal, refs, self._plane.resources().revision, seconds)


def _parts(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    for rank in in_ranks(entries, lambda each: each.rank):
        for start in range(0, len(rank), _TOGETHER):
            yield rank[start : start + _TOGETHER]


async def _together(works: Iterable[Coroutine[None, None, None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(work: Coroutine[None, None, None]) -> None:
        async with gate:
            await work

    async with asyncio.TaskGroup() as group:
        for each in works:
            group.create_task(one(each))
