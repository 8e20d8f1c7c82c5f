"""Reading the audit log: every page looks at a bounded number of rows, whatever is asked for.

One condition is answered by an index that has the rows in order (the *way*); the others are looked at row by row, at
no more than ``LOOKED_AT`` rows. Where that bound is met before the page is full the page is short, and says
where to go on. So no filter makes a statement that reads a log of millions.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fluxgate_admin.db.tables import AuditRow
from fluxgate_admin.use_cases.ports import (
    ANY_STATUS,
    AuditPage,
    AuditPlace,
    AuditQuery,
    AuditRecord,
    AuditSight,
)

LOOKED_AT = 50_000
"""Rows of one page's way, at most."""

Condition = ColumnElement[bool]
_NEWEST_FIRST = (AuditRow.at.desc(), AuditRow.number.desc())


async def read_page(session: AsyncSession, query: AuditQuery) -> AuditPage:
    """A page of what ``query`` asks for."""
    way, rest = split(query)
    floor = await floor_of(session, way) if rest else None
    rows = (await session.scalars(page_statement(query, way, rest, floor))).all()
    page = rows[: query.limit]
    if len(rows) > query.limit:
        return AuditPage(_records(page), AuditPlace(page[-1].at, page[-1].number))
    return AuditPage(_records(page), floor)


def split(query: AuditQuery) -> tuple[list[Condition], list[Condition]]:
    """The conditions that one index answers in order, and those that each row is asked."""
    span = _span(query)
    if query.request_id:
        # of one call: a row or two
        return [
            AuditRow.request_id == query.request_id,
            *span,
            *_sight(query.sight),
            *_rest(query),
        ], []
    if query.sight is not None:
        owned = [
            AuditRow.organisation == query.sight.organisation,
            AuditRow.namespaces.is_not(None),
        ]
        return [*owned, *span], [inside(query.sight.namespaces), *_rest(query)]
    if query.principal:
        return [AuditRow.principal_id == query.principal, *span], _rest(query, principal=False)
    return span, _rest(query)


def page_statement(
    query: AuditQuery,
    way: Sequence[Condition],
    rest: Sequence[Condition],
    floor: AuditPlace | None,
) -> Select[AuditRow]:
    """One row more than the page holds: whether there is one says whether there is a next page."""
    bound = [] if floor is None else [_not_before(floor)]
    found = select(AuditRow).where(*way, *bound, *rest)
    return found.order_by(*_NEWEST_FIRST).limit(query.limit + 1)


def floor_statement(way: Sequence[Condition]) -> Select[dt.datetime, int]:
    """The last row that a page may look at, and the one behind it."""
    rows = select(AuditRow.at, AuditRow.number).where(*way).order_by(*_NEWEST_FIRST)
    return rows.offset(LOOKED_AT - 1).limit(2)


async def floor_of(session: AsyncSession, way: Sequence[Condition]) -> AuditPlace | None:
    """Where a page has to end; None when it may look at all that is left."""
    rows = (await session.execute(floor_statement(way))).all()
    return AuditPlace(rows[0].at, rows[0].number) if len(rows) > 1 else None


def _span(query: AuditQuery) -> list[Condition]:
    found: list[Condition] = []
    if query.since is not None:
        found.append(AuditRow.at >= query.since)
    if query.until is not None:
        found.append(AuditRow.at < query.until)
    if (place := query.after) is not None:
        same = and_(AuditRow.at == place.at, AuditRow.number < place.number)
        found += [AuditRow.at <= place.at, or_(AuditRow.at < place.at, same)]
    return found


def _not_before(place: AuditPlace) -> Condition:
    same = and_(AuditRow.at == place.at, AuditRow.number >= place.number)
    return and_(AuditRow.at >= place.at, or_(AuditRow.at > place.at, same))


def _rest(query: AuditQuery, *, principal: bool = True) -> list[Condition]:
    found: list[Condition] = []
    if principal and query.principal:
        found.append(AuditRow.principal_id == query.principal)
    if query.method:
        found.append(AuditRow.method == query.method)
    if query.path:
        # LIKE would take upper for lower case on SQLite
        found.append(func.substr(AuditRow.path, 1, len(query.path)) == query.path)
    if query.statuses != ANY_STATUS:
        found.append(AuditRow.status.between(*query.statuses))
    return found


def _sight(sight: AuditSight | None) -> list[Condition]:
    if sight is None:
        return []
    return [AuditRow.organisation == sight.organisation, inside(sight.namespaces)]


def inside(namespaces: Iterable[str]) -> Condition:
    """Whether every namespace of a record is among these: together they are as long as all that it has.

    NULL is never inside. A sum, and as text, because a hundred calls within one another are too deep for the
    parser of SQLite, and a hundred terms for SQLAlchemy.
    """
    whole, parts, given = "length(audit_records.namespaces)", ["0"], {}
    for number, each in enumerate(sorted(namespaces)):
        without = f"length(replace(audit_records.namespaces, :namespace_{number}, ''))"
        parts.append(f"({whole} - {without})")
        given[f"namespace_{number}"] = encode((each,))
    return and_(
        AuditRow.namespaces.is_not(None),
        text(f"{whole} = {' + '.join(parts)}").bindparams(**given),
    )


def encode(namespaces: Iterable[str]) -> str:
    """``/a//b/``. A namespace holds no stroke, so none is found where another one is meant, and each once."""
    return "".join(f"/{each}/" for each in sorted(namespaces))


def _decode(kept: str | None) -> frozenset[str] | None:
    return None if kept is None else frozenset(filter(None, kept.split("/")))


def _records(rows: Sequence[AuditRow]) -> tuple[AuditRecord, ...]:
    return tuple(_record(each) for each in rows)


def _record(row: AuditRow) -> AuditRecord:
    return AuditRecord(
        at=row.at,
        request_id=row.request_id,
        principal=row.principal,
        method=row.method,
        path=row.path,
        status=row.status,
        error=row.error,
        address=row.address,
        seconds=row.seconds,
        objects=tuple(json.loads(row.objects)),
        principal_id=row.principal_id or "",
        organisation=row.organisation or "",
        namespaces=_decode(row.namespaces),
    )
