"""History: every state of an object once, with its author, in whatever order news come."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import event
from support.databases import PATIENCE, DatabasePlace
from support.history import START, Clock, intent, path_of, ref, route, stored, told

from fluxgate.ports import ChangeType, ResourceChange, Stored
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.use_cases.journal import Observation, Verdict
from fluxgate_admin.use_cases.ports import HistoryQuery, RevisionChange

CI, WATCH = "key:ci (key_1)", "kubectl"
A, B, C = route(path="/a"), route(path="/b"), route(path="/c")
REF = ref(A)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(database: Database, clock: Clock) -> SqlHistory:
    return SqlHistory(database, clock)


def changed(state: Stored) -> ResourceChange:
    return ResourceChange(ChangeType.CHANGED, state.ref, state)


def seen(document: dict, version: str = "") -> Observation:
    return Observation(ref(document), stored(document, version))


async def test_a_finished_write_is_a_revision_with_its_author_reason_and_documents(
    history: SqlHistory,
) -> None:
    write = intent(None, A)
    await history.begin(write)
    revision = await history.finish(write.id, stored(A, "7"))
    assert revision is not None
    assert (revision.change, revision.author, revision.reason) == (
        RevisionChange.CREATED,
        CI,
        "because",
    )
    assert (revision.request_id, revision.via, revision.at) == ("req_1", "api", START)
    assert await history.get(revision.number) == revision
    assert (path_of(revision.before), path_of(revision.after)) == (None, "/a")


async def test_finishing_twice_gives_the_same_revision(history: SqlHistory) -> None:
    write = intent(None, A)
    await history.begin(write)
    first = await history.finish(write.id, stored(A, "7"))
    assert await history.finish(write.id, stored(A, "7")) == first
    assert await told(history) == [(None, "/a", CI)]


async def test_numbers_grow_over_all_objects(history: SqlHistory) -> None:
    numbers = []
    for each in (route("x"), route("y"), route("z")):
        revision = await history.observe(changed(stored(each)))
        assert revision is not None
        numbers.append(revision.number)
    assert numbers == sorted(set(numbers))


async def test_a_write_that_changed_nothing_is_no_revision(history: SqlHistory) -> None:
    await history.observe(changed(stored(A)))
    write = intent(A, A)
    await history.begin(write)
    assert await history.finish(write.id, stored(A)) is None
    assert len(await told(history)) == 1


async def test_an_abandoned_write_gives_its_author_to_nothing(history: SqlHistory) -> None:
    write = intent(None, A)
    await history.begin(write)
    await history.abandon(write.id)
    await history.observe(changed(stored(A)))
    assert await told(history) == [(None, "/a", WATCH)]


async def test_a_watch_that_is_faster_than_the_writer_finds_the_author(history: SqlHistory) -> None:
    write = intent(None, A)
    await history.begin(write)
    observed = await history.observe(changed(stored(A, "7")))
    assert observed is not None
    assert observed.via == "api"
    assert await history.finish(write.id, stored(A, "7")) == observed
    assert await told(history) == [(None, "/a", CI)]


async def test_a_watch_that_is_slower_than_the_writer_adds_nothing(history: SqlHistory) -> None:
    write = intent(None, A)
    await history.begin(write)
    await history.finish(write.id, stored(A, "7"))
    assert await history.observe(changed(stored(A, "7"))) is None
    assert len(await told(history)) == 1


async def test_defaults_that_an_api_server_writes_out_do_not_hide_the_author(
    history: SqlHistory,
) -> None:
    terse = route()
    del terse["spec"]["matches"][0]["path"]["type"]
    write = intent(None, terse)
    await history.begin(write)
    observed = await history.observe(changed(stored(route(), "7")))
    assert observed is not None
    assert observed.author == CI


async def test_an_object_that_others_changed_on_its_way_in_is_signed_when_its_writer_tells(
    history: SqlHistory,
) -> None:
    write = intent(None, A)
    await history.begin(write)
    labelled = {**A, "metadata": {**A["metadata"], "labels": {"team": "shop"}}}
    await history.observe(changed(stored(labelled, "7")))
    revision = await history.finish(write.id, stored(labelled, "7"))
    assert revision is not None
    assert (revision.author, revision.via) == (CI, "api")
    assert await told(history) == [(None, "/a", CI)]


async def test_a_deletion_finds_its_author_and_a_deletion_by_nobody_has_none(
    history: SqlHistory,
) -> None:
    for signed in (True, False):
        await history.observe(changed(stored(A)))
        if signed:
            await history.begin(intent(A, None))
        gone = await history.observe(ResourceChange(ChangeType.DELETED, REF, None))
        assert gone is not None
        assert (gone.change, gone.author) == (RevisionChange.DELETED, CI if signed else "unknown")


async def test_what_a_writer_wrote_over_is_kept_even_if_no_watch_showed_it(
    history: SqlHistory,
) -> None:
    await history.observe(changed(stored(A)))
    write = intent(B, C)
    await history.begin(write)
    await history.finish(write.id, stored(C))
    assert await told(history) == [
        (None, "/a", WATCH),
        ("/a", "/b", "unknown"),
        ("/b", "/c", CI),
    ]


async def test_a_write_between_two_that_a_watch_ran_together_is_kept_and_the_newest_state_stays(
    history: SqlHistory,
) -> None:
    await history.observe(changed(stored(A)))
    write = intent(A, B)
    await history.begin(write)
    await history.observe(changed(stored(C)))
    await history.finish(write.id, stored(B))
    assert await told(history) == [(None, "/a", WATCH), ("/a", "/c", WATCH), ("/a", "/b", CI)]
    assert await history.observe(changed(stored(C))) is None


async def test_two_writes_and_their_news_come_to_the_same_history_in_every_order(
    history: SqlHistory,
) -> None:
    for number, order in enumerate(itertools.permutations(range(4))):
        a, b, c = (route(f"route-{number}", each) for each in ("/a", "/b", "/c"))
        await history.observe(changed(stored(a, "1")))
        first, second = intent(a, b, author="first"), intent(b, c, author="second")
        await history.begin(first)
        await history.begin(second)
        news = [
            partial(history.finish, first.id, stored(b, "2")),
            partial(history.finish, second.id, stored(c, "3")),
            partial(history.keep, [seen(b, "2")]),
            partial(history.keep, [seen(c, "3")]),
        ]
        for place in order:
            await news[place]()
        assert await told(history, HistoryQuery(ref=ref(a))) == [
            (None, "/a", WATCH),
            ("/a", "/b", "first"),
            ("/b", "/c", "second"),
        ], order


async def test_resource_versions_tell_a_late_watch_from_news(history: SqlHistory) -> None:
    await history.keep([seen(A, "9")])
    (late,) = await history.keep([seen(B, "8")])
    (news,) = await history.keep([seen(C, "10")])
    assert (late.verdict, news.verdict) == (Verdict.OLDER, Verdict.KEPT)


async def test_digests_tell_nothing_about_order_so_the_object_has_to_be_read_again(
    history: SqlHistory,
) -> None:
    await history.keep([seen(A)])
    (outcome,) = await history.keep([seen(B)])
    assert outcome.verdict is Verdict.DOUBTFUL
    assert len(await told(history)) == 1


async def test_an_object_read_since_the_newest_revision_is_newer_and_one_read_before_is_not(
    history: SqlHistory,
) -> None:
    await history.keep([seen(A)])
    since = await history.newest(REF)
    (kept,) = await history.keep([replace(seen(B), since=since)])
    (stale,) = await history.keep([replace(seen(C), since=since)])
    assert (kept.verdict, stale.verdict) == (Verdict.KEPT, Verdict.DOUBTFUL)


async def test_the_news_of_a_deletion_do_not_end_an_object_that_was_made_anew(
    history: SqlHistory,
) -> None:
    await history.keep([seen(A, "3")])
    await history.keep([Observation(REF, None, version="4"), seen(B, "5")])
    (late,) = await history.keep([Observation(REF, None, version="4")])
    assert late.verdict is Verdict.OLDER


async def test_all_observations_of_a_batch_are_kept_or_none(
    history: SqlHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(Exception):
        pass

    class Broken(Observation):
        @property
        def ref(self):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        await history.keep([seen(A), Broken.__new__(Broken)])
    assert await told(history) == []


async def test_changes_of_one_object_in_a_batch_follow_each_other(history: SqlHistory) -> None:
    others = [seen(route(f"other-{each}")) for each in range(5)]
    batch = [seen(A, "1"), *others, seen(B, "2"), seen(B, "3"), seen(C, "4"), seen(A, "1")]
    outcomes = await history.keep(batch)
    assert [each.verdict for each in outcomes[-4:]] == [
        Verdict.KEPT,
        Verdict.KNOWN,
        Verdict.KEPT,
        Verdict.OLDER,
    ]
    assert await told(history, HistoryQuery(ref=REF)) == [
        (None, "/a", WATCH),
        ("/a", "/b", WATCH),
        ("/b", "/c", WATCH),
    ]
    assert len(await told(history)) == 8


async def test_replicas_that_see_the_same_at_the_same_time_keep_it_once(
    database_place: DatabasePlace,
) -> None:
    paths = [route(path=f"/{each}") for each in range(20)]

    async def follow(database: Database) -> None:
        history = SqlHistory(database, Clock())
        for version, each in enumerate(paths, start=1):
            await history.keep([seen(each, str(version))])

    replicas = [Database(database_place.url, seconds=PATIENCE) for _ in range(3)]
    await asyncio.gather(*(follow(each) for each in replicas))
    found = await told(SqlHistory(replicas[0], Clock()))
    assert [after for _, after, _ in found] == [path_of(each) for each in paths]
    for each in replicas:
        await each.close()


async def test_the_list_is_newest_first_and_goes_on_below_a_number(history: SqlHistory) -> None:
    for each in range(5):
        await history.observe(changed(stored(route(path=f"/{each}"))))
    first = await history.list(HistoryQuery(limit=2))
    second = await history.list(HistoryQuery(limit=2, before=first[-1].number))
    numbers = [each.number for each in (*first, *second)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 4


async def test_the_list_says_what_happened_and_leaves_the_documents_to_get(
    history: SqlHistory,
) -> None:
    await history.observe(changed(stored(A)))
    (listed,) = await history.list(HistoryQuery())
    assert (listed.before, listed.after, listed.change) == (None, None, RevisionChange.CREATED)


async def test_the_list_can_be_of_namespaces_an_object_a_kind_or_an_author(
    history: SqlHistory,
) -> None:
    theirs = route(namespace="other")
    await history.observe(changed(stored(A)))
    await history.observe(changed(stored(theirs, manager="100%_sure")))

    async def names(query: HistoryQuery) -> list[str]:
        return [each.ref.namespace for each in await history.list(query)]

    assert await names(HistoryQuery(namespaces=frozenset({"other"}))) == ["other"]
    assert await names(HistoryQuery(namespaces=frozenset())) == []
    assert await names(HistoryQuery(ref=REF)) == ["default"]
    assert await names(HistoryQuery(kind="Plugin")) == []
    assert await names(HistoryQuery(author="%_s")) == ["other"]


async def test_an_object_that_was_there_before_anybody_watched_was_made_when_it_says(
    history: SqlHistory,
) -> None:
    old = replace(stored(A), created_at="2029-01-02T03:04:05Z")
    revision = await history.observe(changed(old))
    assert revision is not None
    assert revision.at.isoformat() == "2029-01-02T03:04:05+00:00"


async def test_words_that_a_database_cannot_keep_do_not_stop_a_write(history: SqlHistory) -> None:
    strange = replace(intent(None, route(path="/\0")), reason="a\0b\ud800c")
    await history.begin(strange)
    revision = await history.finish(strange.id, stored(route(path="/\0")))
    assert revision is not None
    assert (revision.reason, path_of(revision.after)) == ("a?b?c", "/\0")


async def test_writes_finished_together_are_kept_as_each_would_be(history: SqlHistory) -> None:
    """Those that went through, one that changed nothing, one a watch told first, one overtaken, one unknown."""
    plain = [intent(None, route(f"plain-{number}")) for number in range(30)]
    idle = intent(route("idle"), route("idle"))
    told = intent(None, route("told"))
    late, over = intent(None, route("late")), route("late", path="/over")
    await history.begin_all([*plain, idle, told, late])
    await history.keep([seen(route("told"), "5")])
    await history.keep([seen(over, "9")])

    writes = [(each.id, stored(each.after)) for each in (*plain, idle, told, late)]
    made = await history.finish_all([*writes, ("int_unknown", None)])

    *first, nothing, known, overtaken, unknown = made
    assert [each.ref.name if each else "" for each in first] == [each.ref.name for each in plain]
    assert [each.author for each in first if each] == [CI] * 30
    numbers = [each.number for each in first if each]
    assert numbers == sorted(set(numbers))
    assert nothing is unknown is None
    assert known is not None
    assert (known.author, known.ref.name) == (CI, "told")
    assert overtaken is not None
    assert (overtaken.author, path_of(overtaken.after)) == (CI, "/orders")
    again = await history.finish_all(writes[:30])
    assert [each.number for each in again if each] == numbers
    living = await history.living(("Route",))
    assert {each.name for each in living} == {*(each.ref.name for each in plain), "told", "late"}


async def test_a_hundred_writes_are_kept_by_hardly_more_statements_than_rows(
    history: SqlHistory, database: Database
) -> None:
    writes = [intent(None, route(f"many-{number}")) for number in range(100)]
    statements: list[str] = []

    def count(*given: object) -> None:
        statements.append(str(given[2]))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        await history.begin_all(writes)
        await history.finish_all([(each.id, stored(each.after)) for each in writes])
    finally:
        event.remove(engine, "before_cursor_execute", count)
    # SQLite numbers rows one by one; a look at each object besides would be hundreds
    assert len(statements) < 130, statements
