"""Many objects in one write: each with an outcome of its own, tried together, proven once.

A bad object never stops the others. What is good about a batch is found as Envoy would see it: all together, so
that a Route may come with the Backend it needs; what is bad is taken out, and the rest is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence

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
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.documents import equal, etag_of_document
from fluxgate_admin.use_cases.drafts import WriteOptions
from fluxgate_admin.use_cases.failures import invalid_document, refusals
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import DONE, Proofs, Sync
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.writer import Writer

MOST = 500
"""Objects of one batch."""
AT_ONCE = 8
"""Objects that are read or written at the same time."""
_ATTEMPTS = 4


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
        await self._read(entries)
        report = await self._trial.run(
            principal, [each for each in entries if each.changes], options
        )
        if not options.dry_run:
            await self._write(principal, entries, options)
        sync = await self._prove(principal, entries, options)
        return BatchOutcome(entries, sync, report, options.dry_run)

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

    async def _read(self, entries: Sequence[Entry]) -> None:
        async def look(each: Entry) -> None:
            if each.error is None:
                try:
                    with refusals():
                        await self._look(each)
                except AdminError as error:
                    each.error = error

        await _together(look(each) for each in entries)

    async def _look(self, each: Entry) -> None:
        """What is there, and what there is to do."""
        ref, wanted = each.item.ref, each.item.document
        try:
            current: Stored | None = await self._resources.get(ref)
        except ResourceNotFoundError:
            current = None
        each.current, each.stored = current, current
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
        todo = [each for each in entries if each.changes]
        away: list[UnavailableError] = []

        async def make(each: Entry) -> None:
            if away:
                each.error = UnavailableError(f"Not tried: {away[0].message}")
                return
            try:
                with refusals():
                    await self._make(principal, each, options)
            except UnavailableError as error:
                each.error = error
                away.append(error)
            except AdminError as error:
                each.error = error

        for rank in in_ranks(todo, lambda each: each.rank):
            await _together(make(each) for each in rank)

    async def _make(self, principal: Principal, each: Entry, options: WriteOptions) -> None:
        for _ in range(_ATTEMPTS):
            try:
                written = await self._writer.write(principal, each.current, each.draft, options)
            except (ResourceConflictError, ResourceExistsError, ResourceNotFoundError) as error:
                if isinstance(error, ResourceNotFoundError) and each.current is None:
                    raise
                await self._look(each)  # somebody was faster: on top of that, unless it is done
                if each.change is None:
                    return
                continue
            except ResourceError as error:
                raise invalid_document(
                    error, each.item.document or {}, each.draft.pointers
                ) from error
            each.stored, each.revision = written.stored, written.revision
            return
        raise ConflictError(f"{each.item.ref} is being changed by others all the time; try again.")

    async def _prove(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> Sync:
        if options.dry_run:
            return DONE
        written = [(each.item.ref, each.stored) for each in entries if each.changes]
        if written:
            return await self._changes.prove(principal, written, options)
        seconds = options.seconds if options.wait else 0.0
        refs = [each.item.ref for each in entries if each.error is None]
        return await self._proofs.of(principal, refs, self._plane.resources().revision, seconds)


async def _together(works: Iterable[Coroutine[None, None, None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(work: Coroutine[None, None, None]) -> None:
        async with gate:
            await work

    async with asyncio.TaskGroup() as group:
        for each in works:
            group.create_task(one(each))
