"""Dry runs end where the write would be made: what is said there is said as the write would be told, and nothing stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import structlog
from support.admin_fakes import EVERYTHING, NOW, Bench, document, only_in, options, route

from fluxgate.errors import (
    FieldProblem,
    ResourceConflictError,
    ResourceDryRunError,
    ResourceError,
    ResourceForbiddenError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports import Finding, FindingSource, Stored, Trial
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import AdminError, ConflictError, NotPermittedError, UnprocessableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.batch_items import BatchOutcome, Item
from fluxgate_admin.use_cases.batches import AT_ONCE, Batches
from fluxgate_admin.use_cases.drafts import Draft, Report
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.use_cases.rehearsal import Rehearsal
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.validation import Validation
from fluxgate_admin.use_cases.writer import Writer

ORDERS = ObjectRef("Route", "default", "orders")
PLACE = "Route default/orders"
QUOTA = ResourceError(PLACE, (FieldProblem("metadata.namespace", "exceeded quota"),))
NO_RIGHT = ResourceForbiddenError(PLACE, "FluxGate's own account lacks it")
AWAY = ResourceStoreUnavailableError(PLACE, "no answer")
UNSAID = ResourceDryRunError(PLACE, "a webhook does not support dry run")
TRIED = options(dry_run=True)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def raising(error: Exception) -> Callable[[], None]:
    def raises() -> None:
        raise error

    return raises


def writer(bench: Bench) -> Writer:
    return Writer(bench.resources, bench.history, lambda: NOW, structlog.get_logger())


def backend(name: str) -> dict[str, Any]:
    return document("Backend", name, {"url": f"http://{name}.example.com"})


async def test_a_creation_a_change_and_a_deletion_are_each_asked_about_once(bench: Bench) -> None:
    await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), TRIED)
    bench.resources.put(route())
    changed = Draft(ORDERS, route(priority=3))
    await bench.changes.change(EVERYTHING, ORDERS, lambda _: changed, TRIED)
    await bench.changes.delete(EVERYTHING, ORDERS, TRIED)
    assert bench.resources.tried == ["create orders", "replace orders", "delete orders"]
    assert bench.history.calls == []
    assert "priority" not in bench.resources.objects[ORDERS].document["spec"]


async def test_what_is_as_it_shall_be_is_not_asked_about(bench: Bench) -> None:
    bench.resources.put(route())
    same = Draft(ORDERS, route())
    await bench.changes.change(EVERYTHING, ORDERS, lambda _: same, TRIED)
    assert bench.resources.tried == []


async def test_a_write_asks_nothing_beforehand(bench: Bench) -> None:
    await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options())
    changed = Draft(ORDERS, route(priority=3))
    await bench.changes.change(EVERYTHING, ORDERS, lambda _: changed, options())
    await bench.changes.delete(EVERYTHING, ORDERS, options())
    assert bench.resources.tried == []


@pytest.mark.parametrize("error", [QUOTA, NO_RIGHT, AWAY], ids=["quota", "right", "away"])
async def test_a_dry_run_is_refused_in_the_words_and_with_the_status_of_the_write(
    bench: Bench, error: Exception
) -> None:
    bench.resources.before_write = raising(error)
    told = []
    for dry_run in (True, False):
        with pytest.raises(AdminError) as refused:
            await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), options(dry_run=dry_run))
        found = refused.value
        told.append((found.status, found.error, found.message, found.details, found.headers))
        if dry_run:
            assert bench.history.calls == [], "nothing was announced"
    assert told[0] == told[1]


async def test_a_refusal_leads_into_the_body_and_says_who_refuses(bench: Bench) -> None:
    bench.resources.before_write = raising(QUOTA)
    draft = Draft(ORDERS, route(), Pointers(base="/routes/0"))
    with pytest.raises(UnprocessableError) as refused:
        await bench.changes.create(EVERYTHING, draft, TRIED)
    (problem,) = refused.value.details["problems"]
    assert (problem["pointer"], problem["source"]) == ("/routes/0/metadata/namespace", "store")


@pytest.mark.parametrize("dry_run", [True, False])
async def test_others_that_a_webhook_names_are_not_told_to_who_does_not_see_them(
    bench: Bench, *, dry_run: bool
) -> None:
    words = "denied the request: taken by Route secret/theirs"
    bench.resources.before_write = raising(ResourceError(PLACE, (FieldProblem("", words),)))
    with pytest.raises(UnprocessableError) as refused:
        await bench.changes.create(
            only_in("default"), Draft(ORDERS, route()), options(dry_run=dry_run)
        )
    assert "theirs" not in str(refused.value.message) + str(refused.value.details)
    assert "taken by another object" in refused.value.message


async def test_what_only_the_write_finds_out_is_a_warning(bench: Bench) -> None:
    bench.resources.before_write = raising(UNSAID)
    outcome = await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), TRIED)
    (warning,) = outcome.report.warnings
    assert (warning.reason, warning.source) == ("NotAsked", "store")
    assert warning.message == UNSAID.message
    assert not outcome.report.fatal


async def test_a_dry_run_that_was_overtaken_looks_again(bench: Bench) -> None:
    races = iter((True, False))

    def race() -> None:
        if next(races):
            bench.resources.put(route(description="theirs"))

    bench.resources.before_write = race
    with pytest.raises(ConflictError) as refused:
        await bench.changes.create(EVERYTHING, Draft(ORDERS, route()), TRIED)
    assert refused.value.error == "already_exists"


# batches


class Counting:
    """How many are asked about at the same time, and who is refused."""

    def __init__(self, bench: Bench, errors: dict[str, Exception]) -> None:
        self._create, self._errors = bench.resources.create, errors
        self.now = self.most = 0

    async def create(self, made: Document, *, dry_run: bool = False) -> Stored:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if error := self._errors.get(made["metadata"]["name"]):
            raise error
        return await self._create(made, dry_run=dry_run)


async def applied(bench: Bench, *names: str, **errors: Exception) -> tuple[BatchOutcome, Counting]:
    counting = Counting(bench, errors)
    bench.resources.create = counting.create  # type: ignore[method-assign]
    trials = Trials(bench.trials, 10, structlog.get_logger())
    batches = Batches(bench.plane, bench.resources, trials, writer(bench), bench.changes)
    items = [Item(ObjectRef("Backend", "default", each), backend(each)) for each in names]
    return await batches.apply(EVERYTHING, items, TRIED), counting


async def test_each_object_of_a_batch_is_refused_by_itself_and_no_other(bench: Bench) -> None:
    outcome, _ = await applied(bench, "full", "weak", "vague", "good", full=QUOTA, weak=NO_RIGHT,
                               vague=UNSAID)  # fmt: skip
    full, weak, vague, good = outcome.entries
    assert isinstance(full.error, UnprocessableError)
    assert full.error.details["problems"][0]["pointer"] == "/objects/0/document/metadata/namespace"
    assert isinstance(weak.error, NotPermittedError)
    assert (vague.error, vague.warnings[0].reason) == (None, "NotAsked")
    assert vague.warnings[0].pointer == "/objects/2/document"
    assert (good.error, good.stored, good.warnings) == (None, None, ())
    assert outcome.dry_run
    assert bench.history.calls == []
    assert bench.resources.objects == {}


async def test_a_large_batch_asks_about_a_few_at_a_time(bench: Bench) -> None:
    outcome, counting = await applied(bench, *(f"b{number}" for number in range(100)))
    assert counting.most == AT_ONCE
    assert len(bench.resources.tried) == 100
    assert all(each.error is None for each in outcome.entries)


# validation


async def validated(bench: Bench, principal: Principal, *drafts: Draft) -> Report:
    trials = Trials(bench.trials, 10, structlog.get_logger())
    rehearsal = Rehearsal(bench.resources, writer(bench))
    placed = [
        replace(each, pointers=Pointers(base=f"/objects/{index}"))
        for index, each in enumerate(drafts)
    ]
    makers = [lambda each=each: each for each in placed]
    return await Validation(trials, bench.changes, rehearsal).run(principal, makers)


def draft(name: str) -> Draft:
    return Draft(ObjectRef("Backend", "default", name), backend(name))


def told(report: Report) -> list[tuple[str, str, str, bool]]:
    return [(each.pointer, each.reason, each.source, each.fatal) for each in report.problems]


async def test_validation_lists_each_refusal_with_its_place(bench: Bench) -> None:
    counting = Counting(bench, {"full": QUOTA, "weak": NO_RIGHT, "vague": UNSAID})
    bench.resources.create = counting.create  # type: ignore[method-assign]
    bench.resources.put(backend("there"))
    names = ("full", "weak", "vague", "good", "there")
    report = await validated(bench, EVERYTHING, *map(draft, names))
    assert told(report) == [
        ("/objects/0/metadata/namespace", "Invalid", "store", True),
        ("/objects/1", "NotPermitted", "store", True),
        ("/objects/2", "NotAsked", "store", False),
    ]
    assert bench.resources.tried == ["create good"]
    assert bench.history.calls == []


async def test_validation_asks_about_replacements_and_deletions_too(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.resources.put(backend(name))
    other = document("Backend", "a", {"url": "http://other.example.com"})
    gone = Draft(ObjectRef("Backend", "default", "b"), None)
    report = await validated(bench, EVERYTHING, replace(draft("a"), document=other), gone)
    assert told(report) == []
    assert sorted(bench.resources.tried) == ["delete b", "replace a"]


async def test_what_is_refused_already_is_not_asked_about(bench: Bench) -> None:
    ref = ObjectRef("Backend", "default", "bad")
    fatal = Finding(FindingSource.ENVOY, ref, "/spec/url", "bad", proposal=1)
    bench.trials.trial = Trial(findings=(fatal,))
    report = await validated(bench, EVERYTHING, draft("good"), draft("bad"))
    assert told(report) == [("/objects/1/spec/url", "", "envoy", True)]
    assert bench.resources.tried == ["create good"]


async def test_without_the_scope_for_the_write_it_is_not_asked_and_that_is_said_once(
    bench: Bench,
) -> None:
    reader = replace(EVERYTHING, scopes=frozenset(("configs:read", "backends:read")))
    bench.resources.before_write = raising(QUOTA)
    report = await validated(bench, reader, draft("a"), draft("b"))
    assert told(report) == [("", "NotAsked", "store", False)]
    assert "backends:write" in report.problems[0].message
    assert not report.fatal


async def test_a_place_that_is_away_is_one_warning_and_is_not_waited_for_by_everyone(
    bench: Bench,
) -> None:
    asked = []

    def away() -> None:
        asked.append(AWAY)
        raise AWAY

    bench.resources.before_write = away
    report = await validated(bench, EVERYTHING, *(draft(f"b{number}") for number in range(50)))
    assert told(report) == [("", "NotAsked", "store", False)]
    assert "no answer" in report.problems[0].message
    assert len(asked) <= AT_ONCE


async def test_who_is_overtaken_again_and_again_is_told_so(bench: Bench) -> None:
    bench.resources.put(backend("a"))
    bench.resources.before_write = raising(ResourceConflictError("Backend default/a", "changed"))
    other = document("Backend", "a", {"url": "http://other.example.com"})
    report = await validated(bench, EVERYTHING, replace(draft("a"), document=other))
    assert told(report) == [("/objects/0", "NotAsked", "store", False)]
