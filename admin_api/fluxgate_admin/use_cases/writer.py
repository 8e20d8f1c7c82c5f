"""One write: announced in the history, made, and recorded; in this order, so that a crash loses nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from fluxgate.api.canonical import canonical
from fluxgate.errors import (
    ResourceClientError,
    ResourceDryRunError,
    ResourceError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports import ResourceClient, Stored
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.documents import carried_over
from fluxgate_admin.use_cases.drafts import NOT_ASKED, Draft, Problem, WriteOptions
from fluxgate_admin.use_cases.ports import History, Intent
from fluxgate_admin.use_cases.sight import redacted

T = TypeVar("T")
Failure = ResourceClientError | ResourceError
"""Why a write was not made; ``ResourceStoreUnavailableError``: nobody knows, unless it is ``unwritten``."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written; ``stored`` None after a deletion, ``revision`` None when it is not known yet.

    After a dry run ``stored`` is what was there and still is, and ``unsaid`` why it is not known whether the write
    would be made.
    """

    stored: Stored | None
    revision: int | None
    unsaid: str = ""

    def doubts(self, principal: Principal, draft: Draft) -> tuple[Problem, ...]:
        """What a dry run could not find out, as a warning."""
        if not self.unsaid:
            return ()
        place, words = draft.pointers.translate(""), redacted(principal, self.unsaid)
        return (Problem(place, words, NOT_ASKED, "store", fatal=False),)


class Writer:
    """Makes changes, one object at a time."""

    def __init__(
        self,
        resources: ResourceClient,
        history: History,
        clock: Callable[[], dt.datetime],
        log: FilteringBoundLogger,
    ) -> None:
        self._resources = resources
        self._history = history
        self._clock = clock
        self._log = log

    async def write(
        self, principal: Principal, current: Stored | None, draft: Draft, options: WriteOptions
    ) -> Written:
        """Put ``draft`` in place of ``current``.

        Raises errors of the resource client. Only when that did not answer does the announcement stay: the
        write may have been made, and whoever sees its outcome knows whose it was. A dry run is asked about where
        objects are kept, and is announced to nobody.
        """
        if options.dry_run:
            return await self._rehearse(current, draft)
        intent = self._intent(principal, current, draft, options)
        await self._history.begin(intent)
        try:
            stored = await self._store(current, draft)
        except (ResourceClientError, ResourceError) as error:
            if not _may_be_made(error):
                await self._abandon(intent)
            raise
        return Written(stored, await self._finish(intent, stored))

    async def write_all(
        self,
        principal: Principal,
        changes: Sequence[tuple[Stored | None, Draft]],
        options: WriteOptions,
        *,
        at_once: int,
    ) -> list[Written | Failure]:
        """As :meth:`write`, of different objects: announced together, made ``at_once``, recorded together.

        An error of one is given in its place. Raises ``UnavailableError`` when nothing could be announced.
        """
        if options.dry_run:
            return await _each(changes, self._rehearse, at_once)
        intents = [self._intent(principal, now, draft, options) for now, draft in changes]
        await self._history.begin_all(intents)
        made = await _each(changes, self._store, at_once)
        done = []
        for intent, outcome in zip(intents, made, strict=True):
            if not isinstance(outcome, (ResourceClientError, ResourceError)):
                done.append((intent, outcome))
            elif not _may_be_made(outcome):
                await self._abandon(intent)
        numbers = await self._finish_all(done)
        return [
            outcome
            if isinstance(outcome, (ResourceClientError, ResourceError))
            else Written(outcome, numbers.get(intent.id))
            for intent, outcome in zip(intents, made, strict=True)
        ]

    async def _finish_all(self, writes: Sequence[tuple[Intent, Stored | None]]) -> dict[str, int]:
        try:
            revisions = await self._history.finish_all([(each.id, made) for each, made in writes])
        except UnavailableError as error:
            # they are written and announced: the recorder completes them when the database is back
            for intent, _ in writes:
                self._warn("a change is made and not yet recorded", intent, error)
            return {}
        pairs = zip(writes, revisions, strict=True)
        return {intent.id: found.number for (intent, _), found in pairs if found is not None}

    def _intent(
        self, principal: Principal, current: Stored | None, draft: Draft, options: WriteOptions
    ) -> Intent:
        return Intent(
            id=f"int_{secrets.token_hex(12)}",
            ref=draft.ref,
            author=principal.author,
            reason=options.reason,
            request_id=options.request_id,
            at=self._clock(),
            before=canonical(current.document) if current is not None else None,
            after=canonical(draft.document) if draft.document is not None else None,
        )

    async def _rehearse(self, current: Stored | None, draft: Draft) -> Written:
        try:
            await self._store(current, draft, dry_run=True)
        except ResourceDryRunError as error:
            return Written(current, None, error.message)
        return Written(current, None)

    async def _store(
        self, current: Stored | None, draft: Draft, *, dry_run: bool = False
    ) -> Stored | None:
        if draft.document is None:
            version = current.version if current else None
            await self._resources.delete(draft.ref, version, dry_run=dry_run)
            return None
        if current is None:
            return await self._resources.create(draft.document, dry_run=dry_run)
        document = carried_over(current.document, draft.document)
        return await self._resources.replace(document, current.version, dry_run=dry_run)

    async def _finish(self, intent: Intent, stored: Stored | None) -> int | None:
        try:
            revision = await self._history.finish(intent.id, stored)
        except UnavailableError as error:
            # it is written and announced: the recorder completes it when the database is back
            self._warn("a change is made and not yet recorded", intent, error)
            return None
        return revision.number if revision is not None else None

    async def _abandon(self, intent: Intent) -> None:
        try:
            await self._history.abandon(intent.id)
        except UnavailableError as error:
            self._warn("a change that was not made stays announced", intent, error)

    def _warn(self, what: str, intent: Intent, error: UnavailableError) -> None:
        self._log.warning(
            what, subject=str(intent.ref), request_id=intent.request_id, error=error.message
        )


async def _each(
    changes: Sequence[tuple[Stored | None, Draft]],
    make: Callable[[Stored | None, Draft], Awaitable[T]],
    at_once: int,
) -> list[T | Failure]:
    """What ``make`` gives for each change, or the error that it raised."""
    gate = asyncio.Semaphore(at_once)

    async def one(current: Stored | None, draft: Draft) -> T | Failure:
        async with gate:
            try:
                return await make(current, draft)
            except (ResourceClientError, ResourceError) as error:
                return error

    return await asyncio.gather(*(one(now, draft) for now, draft in changes))


def _may_be_made(error: Failure) -> bool:
    """Whether a write that failed may have been made all the same."""
    return isinstance(error, ResourceStoreUnavailableError) and not error.unwritten
