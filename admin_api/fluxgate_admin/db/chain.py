"""The chain of an object's states, inside one transaction that holds the lock of history.

A revision leads from one state to the next. Three things may come in any order: a writer says its write is
made (``finish``), a watch shows the outcome (``observe``), and a watch shows what others did before or after.
The chain keeps each state once, with the author of the write that announced it, and fills a state in
that only a writer saw (the one it wrote over).
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate.api.canonical import canonical, digest
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.db.tables import HeadRow, IntentRow, RevisionRow
from fluxgate_admin.use_cases.documents import equal
from fluxgate_admin.use_cases.ports import RevisionChange

UNKNOWN = "unknown"
"""The author of a change that nobody signed."""


@dataclass(frozen=True, slots=True)
class State:
    """An object as it is now; ``document`` (canonical) None: it is not there.

    ``manager`` is who wrote it, as far as its place knows, ``at`` when it came to be so.
    """

    document: Document | None
    version: str
    manager: str
    at: dt.datetime

    @property
    def digest(self) -> str:
        """Of the document; empty when there is none."""
        return "" if self.document is None else digest(self.document)


def encode(document: Document | None) -> str | None:
    """The canonical document as JSON; ASCII, so that no character is too strange for a database."""
    return None if document is None else json.dumps(canonical(document), sort_keys=True)


def decode(text: str | None) -> Document | None:
    """What :func:`encode` wrote."""
    if text is None:
        return None
    document: Document = json.loads(text)
    return document


def same(one: Document | None, other: Document | None) -> bool:
    """Whether two states are one; an API server's defaults make no difference."""
    if one is None or other is None:
        return one is other
    return equal(one, other)


class Chain:
    """The chain of one object: its newest state, and the writes of it that are announced (oldest first)."""

    def __init__(
        self,
        session: AsyncSession,
        ref: ObjectRef,
        head: HeadRow | None,
        announced: list[IntentRow],
    ) -> None:
        self._session, self._ref, self._head, self._announced = session, ref, head, announced

    @classmethod
    async def of(cls, session: AsyncSession, ref: ObjectRef) -> Chain:
        """As it is kept."""
        return (await cls.many(session, [ref]))[ref]

    @classmethod
    async def many(
        cls, session: AsyncSession, refs: Collection[ObjectRef]
    ) -> dict[ObjectRef, Chain]:
        """Those of several objects, by two queries."""
        wanted = [tuple(each) for each in dict.fromkeys(refs)]
        rows = await session.scalars(select(HeadRow).where(_place(HeadRow).in_(wanted)))
        heads = {ObjectRef(each.kind, each.namespace, each.name): each for each in rows}
        statement = select(IntentRow).where(_place(IntentRow).in_(wanted)).order_by(IntentRow.at)
        announced: dict[ObjectRef, list[IntentRow]] = defaultdict(list)
        for each in await session.scalars(statement):
            announced[ObjectRef(each.kind, each.namespace, each.name)].append(each)
        return {ref: cls(session, ref, heads.get(ref), announced[ref]) for ref in refs}

    @property
    def is_announced(self) -> bool:
        """Whether a write of the object is under way, so that a change may be that one."""
        return bool(self._announced)

    @property
    def number(self) -> int:
        """Of the newest revision; 0 when there is none."""
        return 0 if self._head is None else self._head.number

    @property
    def digest(self) -> str:
        """Of the newest state; empty when the object is not there."""
        return "" if self._head is None else self._head.digest

    @property
    def version(self) -> str:
        """Of the newest state, in the place it is kept; empty when nobody knows."""
        return "" if self._head is None else self._head.version

    @property
    def document(self) -> Document | None:
        """Of the newest state."""
        return None if self._head is None else decode(self._head.document)

    def draft(self, state: State) -> RevisionRow:
        """A revision to ``state`` that nobody announced; it has its number once the session is flushed."""
        row = self._revision(state, None, self._head.document if self._head else None)
        self._session.add(row)
        return row

    def advance(self, row: RevisionRow, state: State) -> None:
        """Make ``row``, which has its number, the newest revision."""
        if self._head is None:
            kind, namespace, name = self._ref
            self._head = HeadRow(kind=kind, namespace=namespace, name=name)
            self._session.add(self._head)
        self._head.number = row.number
        self._head.digest = state.digest
        self._head.version = state.version
        self._head.document = row.after

    async def plain(self, state: State, intent: IntentRow | None = None) -> RevisionRow | None:
        """The revision to ``state`` where there is nothing more to say; as :meth:`draft`, to be advanced to.

        Nobody announced it, or it was announced (by ``intent``, if that is known) on top of the newest state: so
        are all but those that raced. Then one statement keeps hundreds of them.
        """
        intent = intent or self._announcement(state.document)
        if intent is None:
            return self.draft(state)
        if not same(self.document, decode(intent.before)):
            return None
        await self._close(intent)
        row = self._revision(state, intent, self._head.document if self._head else None)
        self._session.add(row)
        return row

    async def observed(self, state: State) -> RevisionRow:
        """The object has come to ``state``; who announced that is its author."""
        intent = self._announcement(state.document)
        if intent is None:
            row = self.draft(state)
            await self._session.flush()
            self.advance(row, state)
            return row
        await self._close(intent)
        if not await self._over_written(intent):
            await self._fill_in(intent)
        return await self._append(state, intent)

    async def written(self, state: State, intent: IntentRow) -> RevisionRow:
        """The write that ``intent`` announced has led to ``state``, as its writer says."""
        await self._close(intent)
        if self.number != intent.base and self.digest == state.digest:
            newest = await self._session.get_one(RevisionRow, self.number)
            if newest.intent is None:
                return await self._sign(newest, intent)
        if await self._over_written(intent):
            return await self._insert_late(state, intent)
        await self._fill_in(intent)
        return await self._append(state, intent)

    async def _close(self, intent: IntentRow) -> None:
        self._announced.remove(intent)
        await self._session.delete(intent)

    async def _over_written(self, intent: IntentRow) -> bool:
        """Whether what the write began from is kept, and something after it, too."""
        before = decode(intent.before)
        return (
            not same(self.document, before)
            and self.number != intent.base
            and await self._kept_since(intent.base, before)
        )

    async def _fill_in(self, intent: IntentRow) -> None:
        """Keep what the write began from, if nobody but the writer has seen it."""
        before = decode(intent.before)
        if not same(self.document, before):
            await self.observed(State(before, "", "", intent.at))

    async def _sign(self, row: RevisionRow, intent: IntentRow) -> RevisionRow:
        """A watch showed the outcome first, and it differed from what was announced.

        Others may change an object on its way into an API server.
        """
        row.author, row.reason = intent.author, intent.reason
        row.request_id, row.via, row.intent = intent.request_id, "api", intent.id
        return row

    def _announcement(self, document: Document | None) -> IntentRow | None:
        """The write with that outcome; the one that fits the newest state, else the oldest."""
        fitting = [each for each in self._announced if same(decode(each.after), document)]
        present = self.document if fitting else None
        exact = [each for each in fitting if same(decode(each.before), present)]
        return next(iter(exact or fitting), None)

    async def _kept_since(self, base: int, document: Document | None) -> bool:
        """Whether ``document`` was the object's state at some time since revision ``base``."""
        statement = select(RevisionRow.after).filter_by(**self._ref._asdict())
        later = await self._session.scalars(statement.where(RevisionRow.number >= base))
        return (base == 0 and document is None) or any(
            same(decode(each), document) for each in later
        )

    async def _append(self, state: State, intent: IntentRow) -> RevisionRow:
        row = self._revision(state, intent, self._head.document if self._head else None)
        self._session.add(row)
        await self._session.flush()
        self.advance(row, state)
        return row

    async def _insert_late(self, state: State, intent: IntentRow) -> RevisionRow:
        """A write that others have written over already, as a watch showed before the writer told."""
        row = self._revision(state, intent, intent.before)
        self._session.add(row)
        await self._session.flush()
        return row

    def _revision(self, state: State, intent: IntentRow | None, before: str | None) -> RevisionRow:
        kind, namespace, name = self._ref
        after = encode(state.document)
        return RevisionRow(
            kind=kind,
            namespace=namespace,
            name=name,
            change=_change(before, after),
            author=(state.manager or UNKNOWN) if intent is None else intent.author,
            reason="" if intent is None else intent.reason,
            request_id="" if intent is None else intent.request_id,
            via="watch" if intent is None else "api",
            at=state.at if intent is None else intent.at,
            before=before,
            after=after,
            intent=None if intent is None else intent.id,
        )


def _place(table: type[HeadRow | IntentRow]) -> ColumnElement[tuple[str, str, str]]:
    return tuple_(table.kind, table.namespace, table.name)


def _change(before: str | None, after: str | None) -> RevisionChange:
    if after is None:
        return RevisionChange.DELETED
    return RevisionChange.CREATED if before is None else RevisionChange.UPDATED
