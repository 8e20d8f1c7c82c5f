"""Reading the audit log: who sees which call, filters, pages, and what a page costs, on both databases."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog
from sqlalchemy import ClauseElement, Executable, Select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from support.history import START

from fluxgate_admin.auth.scopes import contains
from fluxgate_admin.db import audit_pages
from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database
from fluxgate_admin.use_cases.ports import AuditPlace, AuditQuery, AuditRecord, AuditSight

CALL = AuditRecord(
    at=START,
    request_id="req_0",
    principal="key:ci (key_1)",
    method="GET",
    path="/v2/routes",
    status=200,
    error="",
    address="127.0.0.1",
    seconds=0.25,
    principal_id="key_1",
    organisation="shop",
    namespaces=frozenset(("a",)),
)
SIGHT = AuditSight("shop", frozenset("a"))


@pytest.fixture
def audit(database: Database) -> SqlAuditLog:
    return SqlAuditLog(database, structlog.get_logger("test"))


async def keep(audit: SqlAuditLog, calls: Iterable[AuditRecord]) -> None:
    for each in calls:
        await audit.record(each)


async def found(audit: SqlAuditLog, **query: Any) -> list[str]:
    return [each.request_id for each in (await audit.page(AuditQuery(**query))).records]


def subsets(names: Sequence[str]) -> list[frozenset[str]]:
    every = range(len(names) + 1)
    return [frozenset(each) for size in every for each in itertools.combinations(names, size)]


async def test_who_is_bound_reads_exactly_the_calls_whose_every_namespace_it_sees(
    audit: SqlAuditLog,
) -> None:
    names = ("a", "aa", "a-a", "b")
    kept = {f"req_{n}": each for n, each in enumerate([*subsets(names), None])}
    await keep(audit, (replace(CALL, request_id=id_, namespaces=ns) for id_, ns in kept.items()))
    for seen in subsets(names):
        visible = {id_ for id_, namespaces in kept.items() if contains(seen, namespaces)}
        sight = AuditSight("shop", seen)
        assert set(await found(audit, sight=sight)) == visible
        for id_ in kept:
            alone = await found(audit, sight=sight, request_id=id_)
            assert alone == ([id_] if id_ in visible else [])
    assert set(await found(audit)) == set(kept)


async def test_who_sees_a_hundred_namespaces_reads_its_calls(audit: SqlAuditLog) -> None:
    every = frozenset(f"team-{n:03}-{'x' * 54}" for n in range(100))
    await keep(audit, (replace(CALL, namespaces=every), replace(CALL, namespaces=every | {"a"})))
    assert await found(audit, sight=AuditSight("shop", every)) == ["req_0"]


async def test_who_is_bound_reads_no_call_of_another_organisation_nor_of_nobody(
    audit: SqlAuditLog,
) -> None:
    others = (
        replace(CALL, request_id="req_bank", organisation="bank"),
        replace(CALL, request_id="req_nobody", organisation="", namespaces=None),
        replace(CALL, request_id="req_all", namespaces=None),
    )
    await keep(audit, (CALL, *others))
    assert await found(audit, sight=SIGHT) == ["req_0"]
    assert await found(audit, sight=replace(SIGHT, organisation="")) == []
    for each in others:
        assert await found(audit, sight=SIGHT, request_id=each.request_id) == []


def varied() -> list[AuditRecord]:
    """Calls that differ in everything there is a filter for, several at the same moment."""
    paths = ("/v2/routes", "/v2/Routes", "/v2/routes/rt_%", "/v2/plugins", "/oauth/token")
    statuses = (200, 202, 401, 403, 404, 503, 0)
    return [
        replace(
            CALL,
            request_id=f"req_{n}",
            at=START + dt.timedelta(seconds=n // 3),
            method=("GET", "POST", "DELETE")[n % 3],
            path=paths[n % 5],
            status=statuses[n % 7],
            principal_id=("key_1", "key_2")[n % 2],
            organisation=("shop", "bank")[n % 4 // 2],
            namespaces=(frozenset("a"), frozenset("ab"), None)[n % 3],
        )
        for n in range(120)
    ]


LATER = START + dt.timedelta(seconds=7)
FILTERS: dict[str, tuple[dict[str, Any], Callable[[AuditRecord], bool]]] = {
    "nothing": ({}, lambda _: True),
    "since": ({"since": LATER}, lambda call: call.at >= LATER),
    "until": ({"until": LATER}, lambda call: call.at < LATER),
    "principal": ({"principal": "key_2"}, lambda call: call.principal_id == "key_2"),
    "method": ({"method": "POST"}, lambda call: call.method == "POST"),
    "path": ({"path": "/v2/routes"}, lambda call: call.path.startswith("/v2/routes")),
    "path as it is": ({"path": "/v2/routes/rt_%"}, lambda call: call.path == "/v2/routes/rt_%"),
    "no pattern": ({"path": "/v2/r_ut%"}, lambda _: False),
    "statuses": ({"statuses": (400, 499)}, lambda call: 400 <= call.status <= 499),
    "unanswered": ({"statuses": (0, 0)}, lambda call: call.status == 0),
    "no status": ({"statuses": (400, 399)}, lambda _: False),
    "request_id": ({"request_id": "req_21"}, lambda call: call.request_id == "req_21"),
    "sight": (
        {"sight": SIGHT},
        lambda call: call.organisation == "shop" and call.namespaces == frozenset("a"),
    ),
}


@pytest.mark.parametrize("looked_at", [11, audit_pages.LOOKED_AT])
async def test_pages_hold_what_every_two_filters_allow_once_and_newest_first(
    audit: SqlAuditLog, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(audit_pages, "LOOKED_AT", looked_at)
    calls = varied()
    await keep(audit, calls)
    for one, other in itertools.combinations(FILTERS, 2):
        (asked, allows), (also, also_allows) = FILTERS[one], FILTERS[other]
        if asked.keys() & also.keys():
            continue
        wanted = [each for each in reversed(calls) if allows(each) and also_allows(each)]
        query = AuditQuery(**asked, **also, limit=7)
        seen: list[AuditRecord] = []
        pages = 0
        while True:
            page = await audit.page(query)
            assert len(page.records) <= 7
            seen += page.records
            pages += 1
            if page.after is None:
                break
            assert query.after is None or page.after < query.after
            query = replace(query, after=page.after)
        assert seen == wanted, (one, other)
        assert looked_at == 11 or pages == max(1, -(-len(wanted) // 7)), (one, other)


async def test_a_page_that_looked_at_enough_ends_and_says_where_to_go_on(
    audit: SqlAuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "LOOKED_AT", 4)
    times = [START + dt.timedelta(seconds=n) for n in range(8)]
    await keep(audit, (replace(CALL, request_id=f"req_{n}", at=at) for n, at in enumerate(times)))
    query = AuditQuery(path="/nowhere")
    first = await audit.page(query)
    assert first.records == ()
    assert first.after == AuditPlace(times[4], 5)
    # exactly as many are left as a page looks at
    assert (await audit.page(replace(query, after=first.after))).after is None


async def test_what_is_kept_while_somebody_reads_moves_no_page(audit: SqlAuditLog) -> None:
    calls = varied()
    await keep(audit, calls)
    first = await audit.page(AuditQuery(limit=5))
    newest = replace(CALL, request_id="req_new", at=START + dt.timedelta(days=1))
    await keep(audit, (newest,))
    second = await audit.page(AuditQuery(limit=5, after=first.after))
    assert (*first.records, *second.records) == tuple(reversed(calls))[:10]


class Explained(Executable, ClauseElement):
    """How a database would run a statement."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explained)
def explain(element: Explained, compiler: Any, **options: Any) -> str:
    word = "EXPLAIN QUERY PLAN" if compiler.dialect.name == "sqlite" else "EXPLAIN"
    return f"{word} {compiler.process(element.statement, **options)}"


async def plan(session: AsyncSession, statement: Select[Any]) -> str:
    rows = (await session.execute(Explained(statement))).all()
    return "\n".join(str(each[-1]) for each in rows)


FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO audit_records (at, request_id, principal, method, path, status, error, address, seconds,
                           objects, principal_id, organisation, namespaces)
SELECT {moment}, 'req_' || i, 'key:ci (key_' || i % 50 || ')', 'GET', '/v2/routes/rt_' || i, 200, '',
       '127.0.0.1', 0.01, '[]', 'key_' || i % 50, 'organisation-' || i % 10,
       CASE i % 5 WHEN 0 THEN NULL ELSE '/team-' || i % 5 || '/' END
FROM n
"""
MOMENTS = {
    True: "strftime('%Y-%m-%d %H:%M:%f000', '2030-01-01', '+' || i || ' seconds')",
    False: "timestamptz '2030-01-01 00:00+00' + i * interval '1 second'",
}
NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
TEAM = AuditSight("organisation-1", frozenset(("team-1",)))
WAYS: dict[str, tuple[AuditQuery, str]] = {
    "everything": (AuditQuery(), "at_number"),
    "a page further on": (AuditQuery(after=AuditPlace(NOON, 43_200)), "at_number"),
    "a span": (AuditQuery(since=NOON, until=NOON + dt.timedelta(hours=1)), "at_number"),
    "a path nobody has": (AuditQuery(path="/v2/nothing"), "at_number"),
    "a status nobody got": (AuditQuery(statuses=(500, 599)), "at_number"),
    "a caller": (AuditQuery(principal="key_7"), "principal"),
    "a caller's span": (AuditQuery(principal="key_7", since=NOON), "principal"),
    "a request": (AuditQuery(request_id="req_77777"), "request_id"),
    "a team": (AuditQuery(sight=TEAM), "organisation"),
    "a team's caller": (AuditQuery(sight=TEAM, principal="key_1"), "organisation"),
    "a team's request": (AuditQuery(sight=TEAM, request_id="req_77777"), "request_id"),
}


async def test_an_index_leads_to_every_page_of_a_hundred_thousand_calls(
    database: Database,
) -> None:
    async with database.writing() as session:
        await session.execute(text(FILL.format(moment=MOMENTS[database.is_sqlite])))
    async with database.writing() as session:
        await session.execute(text("ANALYZE audit_records"))
    async with database.reading() as session:
        for name, (query, index) in WAYS.items():
            way, rest = audit_pages.split(query)
            floor = await audit_pages.floor_of(session, way) if rest else None
            statements = [audit_pages.page_statement(query, way, rest, floor)]
            if rest:
                statements.append(audit_pages.floor_statement(way))
            for statement in statements:
                said = await plan(session, statement)
                where = f"{name}: {said}"
                assert f"ix_audit_records_{index}" in said, where
                assert "Seq Scan" not in said, where
                if index != "request_id":
                    assert "TEMP B-TREE" not in said, where
