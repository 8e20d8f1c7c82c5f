"""History in the database.

Everything that writes holds one lock for all replicas (SQLite: its own; PostgreSQL: an advisory lock until the
transaction ends). So revisions are numbered in the order they are committed, and what two replicas see is kept
once. Writes are rare (tens a minute) and short, so that nobody waits.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, Select, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate.api.canonical import canonical
from fluxgate.ports import ResourceChange, Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.db.chain import Chain, State, decode, encode, same
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.tables import HeadRow, IntentRow, RevisionRow
from fluxgate_admin.use_cases.journal import Observation, Outcome, Verdict, observation_of
from fluxgate_admin.use_cases.ports import HistoryQuery, Intent, Revision, RevisionChange

_LOCK = 0x466C7578_68697374
"""Of PostgreSQL's advisory locks: "Fluxhist" in ASCII."""
_BODIES = {RevisionRow.before.key, RevisionRow.after.key}
_SUMMARY = [each for each in RevisionRow.__table__.columns if each.key not in _BODIES]


_Drafted = tuple[Chain, State, RevisionRow]
"""A revision that has its number once the session is flushed."""


class SqlHistory:
    """Implements ``History`` and ``Journal``."""

    def __init__(self, database: Database, clock: Callable[[], dt.datetime]) -> None:
        self._database, self._clock = database, clock

    async def begin(self, intent: Intent) -> None:
        """Keep an intent, for good, before the write is made. One intent for each attempt to write."""
        await self.begin_all([intent])

    async def begin_all(self, intents: Sequence[Intent]) -> None:
        """Keep intents of different objects, in one transaction."""
        async with self._database.writing(_LOCK) as session:
            chains = await Chain.many(session, [each.ref for each in intents])
            for intent in intents:
                kind, namespace, name = intent.ref
                session.add(
                    IntentRow(
                        id=intent.id,
                        kind=kind,
                        namespace=namespace,
                        name=name,
                        author=intent.author,
                        reason=intent.reason,
                        request_id=intent.request_id,
                        at=intent.at,
                        before=encode(intent.before),
                        after=encode(intent.after),
                        base=chains[intent.ref].number,
                    )
                )

    async def finish(self, intent_id: str, stored: Stored | None) -> Revision | None:
        """The write was made, and led to ``stored`` (None: the object is gone)."""
        return (await self.finish_all([(intent_id, stored)]))[0]

    async def finish_all(
        self, writes: Sequence[tuple[str, Stored | None]]
    ) -> Sequence[Revision | None]:
        """Writes of different objects were made; in one transaction."""
        async with self._database.writing(_LOCK) as session:
            names = [name for name, _ in writes]
            done = await session.scalars(select(RevisionRow).where(RevisionRow.intent.in_(names)))
            known = {row.intent: row for row in done}
            begun = await session.scalars(select(IntentRow).where(IntentRow.id.in_(names)))
            intents = {each.id: each for each in begun}
            chains = await Chain.many(session, [_ref(each) for each in intents.values()])
            outcomes: list[Revision | _Drafted | None] = []
            for name, stored in writes:
                if (row := known.get(name)) is not None:
                    outcomes.append(_revision(row))
                elif (intent := intents.get(name)) is None:
                    outcomes.append(None)
                else:
                    chain = chains[_ref(intent)]
                    outcomes.append(await self._finished(session, chain, intent, stored))
            await session.flush()
            return [_numbered(each) if isinstance(each, tuple) else each for each in outcomes]

    async def _finished(
        self, session: AsyncSession, chain: Chain, intent: IntentRow, stored: Stored | None
    ) -> Revision | _Drafted | None:
        state = self._state(stored)
        if same(decode(intent.before), state.document):
            await session.delete(intent)
            return None
        if chain.number == intent.base and (row := await chain.plain(state, intent)) is not None:
            return chain, state, row
        return _revision(await chain.written(state, intent))

    async def abandon(self, intent_id: str) -> None:
        """The write was certainly not made."""
        async with self._database.writing(_LOCK) as session:
            await session.execute(delete(IntentRow).where(IntentRow.id == intent_id))

    async def observe(self, change: ResourceChange) -> Revision | None:
        """Keep what was seen, as the newest state of its object, unless it is known."""
        if change.ref is None:
            return None
        seen = observation_of(change)
        async with self._database.writing(_LOCK) as session:
            chain = await Chain.of(session, seen.ref)
            state = self._observed(chain, seen)
            if state.digest == chain.digest:
                return None
            return _revision(await chain.observed(state))

    async def keep(self, observations: Sequence[Observation]) -> Sequence[Outcome]:
        """Take observations in, in one transaction."""
        times = Counter(each.ref for each in observations)
        outcomes: list[Outcome | _Drafted] = []
        async with self._database.writing(_LOCK) as session:
            chains = await Chain.many(session, times)
            for seen in observations:
                chain = chains[seen.ref]
                state = self._observed(chain, seen)
                verdict = _not_news(chain, state, seen.since)
                if verdict is not None:
                    outcomes.append(Outcome(verdict))
                elif times[seen.ref] == 1 and (row := await chain.plain(state)) is not None:
                    outcomes.append((chain, state, row))
                else:
                    row = await chain.observed(state)
                    outcomes.append(Outcome(Verdict.KEPT, _revision(row)))
            # one statement for all that are new to history: ten thousand at a first start
            await session.flush()
            return [
                Outcome(Verdict.KEPT, _numbered(each)) if isinstance(each, tuple) else each
                for each in outcomes
            ]

    async def newest(self, ref: ObjectRef) -> int:
        """The number of an object's newest revision; 0 when it has none."""
        async with self._database.reading() as session:
            return (await Chain.of(session, ref)).number

    async def living(self, kinds: Sequence[str]) -> Mapping[ObjectRef, str]:
        """Every object that is there, as far as history knows, with the digest of its document."""
        statement = select(HeadRow.kind, HeadRow.namespace, HeadRow.name, HeadRow.digest)
        wanted = statement.where(HeadRow.kind.in_(kinds), HeadRow.digest != "")
        async with self._database.reading() as session:
            rows = (await session.execute(wanted)).all()
        return {ObjectRef(kind, namespace, name): known for kind, namespace, name, known in rows}

    async def overdue(self, before: dt.datetime) -> Sequence[tuple[str, ObjectRef]]:
        """Intents begun before that moment of which nobody has said how they ended."""
        statement = select(IntentRow).where(IntentRow.at < before).order_by(IntentRow.at)
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        return [(each.id, ObjectRef(each.kind, each.namespace, each.name)) for each in rows]

    async def list(self, query: HistoryQuery) -> Sequence[Revision]:
        """Newest first, without documents: ``before`` and ``after`` are None; :meth:`get` has them."""
        async with self._database.reading() as session:
            rows = (await session.execute(_matching(query))).all()
        return [_revision(row) for row in rows]

    async def get(self, number: int) -> Revision | None:
        """One revision, with its documents."""
        async with self._database.reading() as session:
            row = await session.get(RevisionRow, number)
        return None if row is None else _revision(row)

    def _observed(self, chain: Chain, seen: Observation) -> State:
        state = self._state(seen.stored, seen.version)
        if chain.digest == "" and seen.stored is not None:
            return replace(state, at=_creation(seen.stored, state.at))
        return state

    def _state(self, stored: Stored | None, version: str = "") -> State:
        now = self._clock()
        if stored is None:
            return State(None, version, "", now)
        return State(canonical(stored.document), stored.version, stored.manager, now)


def _creation(stored: Stored, now: dt.datetime) -> dt.datetime:
    """When an object was created, if its place tells, and not after it was seen."""
    try:
        created = dt.datetime.fromisoformat(stored.created_at)
    except ValueError:
        return now
    return min(created, now) if created.tzinfo is not None else now


def _numbered(drafted: _Drafted) -> Revision:
    """The newest revision of its chain; the session has been flushed."""
    chain, state, row = drafted
    chain.advance(row, state)
    return _revision(row)


def _ref(row: IntentRow) -> ObjectRef:
    return ObjectRef(row.kind, row.namespace, row.name)


def _not_news(chain: Chain, state: State, since: int | None) -> Verdict | None:
    """Why a state is no news; None when it is."""
    if state.digest == chain.digest:
        return Verdict.KNOWN
    if since is not None:
        return None if chain.number == since else Verdict.DOUBTFUL
    if chain.number == 0:
        return None
    # resource versions of one kind are numbers that grow; Kubernetes says so since 1.35 (KEP-5504), and etcd
    # has always made it so. Those of files are digests: equal or not.
    if chain.version.isdecimal() and state.version.isdecimal():
        return None if int(state.version) > int(chain.version) else Verdict.OLDER
    return Verdict.DOUBTFUL


def _matching(query: HistoryQuery) -> Select[Any]:
    statement = select(*_SUMMARY).order_by(RevisionRow.number.desc()).limit(query.limit)
    if query.namespaces is not None:
        statement = statement.where(RevisionRow.namespace.in_(sorted(query.namespaces)))
    if query.ref is not None:
        statement = statement.filter_by(**query.ref._asdict())
    if query.kind:
        statement = statement.where(RevisionRow.kind == query.kind)
    if query.kinds is not None:
        statement = statement.where(RevisionRow.kind.in_(sorted(query.kinds)))
    if query.author:
        statement = statement.where(RevisionRow.author.contains(query.author, autoescape=True))
    if query.before is not None:
        statement = statement.where(RevisionRow.number < query.before)
    return statement


def _revision(row: RevisionRow | Row[Any]) -> Revision:
    return Revision(
        number=row.number,
        ref=ObjectRef(row.kind, row.namespace, row.name),
        change=RevisionChange(row.change),
        author=row.author,
        reason=row.reason,
        request_id=row.request_id,
        via=row.via,
        at=row.at,
        before=decode(getattr(row, "before", None)),
        after=decode(getattr(row, "after", None)),
    )
