"""Whom a batch refuses when what is wrong with it names nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
import structlog

from fluxgate.ports import Finding, FindingSource, Proposal, Trial, Untried
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import ConflictError, UnavailableError
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.batch_items import Entry, Item
from fluxgate_admin.use_cases.batch_trial import BatchLimits, BatchTrial
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.drafts import Draft, Problem, Report, WriteOptions
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.trials import Trials

ANYBODY = Principal("key_x", PrincipalKind.KEY, "x", "x", frozenset(("*",)))
VICTIM = ObjectRef("Route", "default", "victim")


class Judge:
    """Finds fault with objects by name: in their own place, or as harm to another object."""

    def __init__(self, *, named: str = "", harmful: str = "", together: str = "") -> None:
        self.named, self.harmful, self.together = named.split(), harmful.split(), together.split()
        self.runs = 0

    async def run(self, _: Principal, drafts: Sequence[Draft]) -> Report:
        self.runs += 1
        problems = []
        names = {each.ref.name for each in drafts}
        for each in drafts:
            if each.ref.name in self.named:
                place = each.pointers.translate("/spec/url")
                problems.append(Problem(place, "is bad", "Invalid", "schema", fatal=True))
        if names & set(self.harmful) or (self.together and names >= set(self.together)):
            problems.append(Problem("", "suffers", "Invalid", "translation", True, VICTIM))
        return Report(tuple(problems))


class NobodyUses:
    """Of changes only this is asked: who uses an object."""

    def refuse_in_use(
        self, _: Principal, ref: ObjectRef, leaving: frozenset[ObjectRef] = frozenset()
    ) -> None:
        if ref.name == "used" and VICTIM not in leaving:
            raise ConflictError("used", error="in_use")


def entries(names: str, *, delete: str = "") -> list[Entry]:
    found = []
    for index, name in enumerate((*names.split(), *delete.split())):
        gone = name in delete.split()
        ref = VICTIM if name == "victim" else ObjectRef("Backend", "default", name)
        entry = Entry(index, Item(ref, None if gone else {"kind": "Backend", "spec": {}}))
        entry.change = RevisionChange.DELETED if gone else RevisionChange.CREATED
        found.append(entry)
    return found


async def refused(judge: Judge, batch: list[Entry], *, force: bool = False) -> list[str]:
    trial = BatchTrial(cast("Trials", judge), cast("Changes", NobodyUses()))
    await trial.run(ANYBODY, batch, WriteOptions("req_1", 1.0, force=force))
    return [each.item.ref.name for each in batch if each.error is not None]


async def test_a_good_batch_is_tried_once() -> None:
    judge = Judge()
    assert await refused(judge, entries("a b c d")) == []
    assert judge.runs == 1


async def test_who_is_named_is_refused_and_the_rest_is_tried_again() -> None:
    judge = Judge(named="b d")
    assert await refused(judge, entries("a b c d")) == ["b", "d"]
    assert judge.runs == 2


@pytest.mark.parametrize("harmful", ["a", "d", "b c"])
async def test_who_harms_another_object_is_found_by_halves(harmful: str) -> None:
    batch = entries("a b c d e f g h")
    assert await refused(Judge(harmful=harmful), batch) == harmful.split()
    bad = next(each for each in batch if each.error is not None)
    assert "Route default/victim: suffers" in str(bad.error)


async def test_of_two_that_harm_only_together_one_is_refused() -> None:
    assert len(await refused(Judge(together="b g"), entries("a b c d e f g h"))) == 1


async def test_both_kinds_of_trouble_at_once() -> None:
    assert await refused(Judge(named="a", harmful="h"), entries("a b c d e f g h")) == ["a", "h"]


async def test_force_goes_on_where_others_suffer_and_not_where_the_object_is_bad() -> None:
    assert await refused(Judge(harmful="b"), entries("a b"), force=True) == []
    assert await refused(Judge(named="a"), entries("a b"), force=True) == ["a"]


async def test_what_is_used_goes_only_with_its_user() -> None:
    assert await refused(Judge(), entries("", delete="used")) == ["used"]
    assert await refused(Judge(), entries("", delete="used victim")) == []
    assert await refused(Judge(), entries("", delete="used"), force=True) == []


class Runner:
    """Trials at the port: some objects harm another one; the ``late``-th trial and all after it find nothing."""

    def __init__(self, *harmful: str, late: int = 0, untried: Untried | None = None) -> None:
        self.harmful = set(harmful)
        self.late, self.untried = late, untried
        self.sizes: list[int] = []

    async def try_out(self, proposals: Sequence[Proposal], *, seconds: float = 10.0) -> Trial:
        del seconds
        self.sizes.append(len(proposals))
        if self.late and len(self.sizes) >= self.late:
            return Trial(untried=self.untried, note="why")
        if self.harmful.isdisjoint(each.ref.name for each in proposals):
            return Trial()
        return Trial((Finding(FindingSource.TRANSLATION, VICTIM, "", "suffers"),))


MANY = " ".join(f"b{number:03}" for number in range(500))


async def tried(runner: Runner, batch: list[Entry], limits: BatchLimits | None = None) -> Report:
    trials = Trials(runner, 10, structlog.get_logger())
    trial = BatchTrial(trials, cast("Changes", NobodyUses()), limits)
    return await trial.run(ANYBODY, batch, WriteOptions("req_1", 1.0))


def errors(batch: list[Entry]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in batch:
        if each.error is not None:
            found.setdefault(each.error.error, []).append(each.item.ref.name)
    return found


@pytest.mark.parametrize("culprit", ["b000", "b250", "b377", "b499"])
async def test_one_of_500_that_harms_another_takes_eleven_trials(culprit: str) -> None:
    runner, batch = Runner(culprit), entries(MANY)
    await tried(runner, batch)
    assert errors(batch) == {"unprocessable": [culprit]}
    # all, nine by halves, and all that is left
    assert len(runner.sizes) <= 11


async def test_five_of_500_take_ten_trials_each() -> None:
    culprits = ["b003", "b101", "b102", "b333", "b498"]
    runner, batch = Runner(*culprits), entries(MANY)
    await tried(runner, batch)
    assert errors(batch) == {"unprocessable": culprits}
    assert len(runner.sizes) <= 51


async def test_what_is_known_to_be_good_is_not_searched_again() -> None:
    culprits = ["b495", "b496", "b497", "b498", "b499"]
    runner, batch = Runner(*culprits), entries(MANY)
    await tried(runner, batch)
    assert errors(batch) == {"unprocessable": culprits}
    assert len(runner.sizes) <= 20


async def test_500_at_fault_take_no_more_trials_than_a_batch_may() -> None:
    runner, batch = Runner(*MANY.split()), entries(MANY)
    await tried(runner, batch)
    assert len(runner.sizes) == BatchLimits().trials
    found = errors(batch)
    assert sum(map(len, found.values())) == 500
    # the first are found one by one, and the trials end amid the search for another
    assert found["unprocessable"] == MANY.split()[: len(found["unprocessable"])]
    assert len(found["unprocessable"]) >= 6


async def test_what_was_good_before_the_trials_ran_out_is_made_and_all_else_is_told_why() -> None:
    culprits = [f"b{number}" for number in range(300, 320)]
    runner, batch = Runner(*culprits), entries(MANY)
    report = await tried(runner, batch, BatchLimits(trials=16))
    found = errors(batch)
    assert len(runner.sizes) == 16
    assert found["unprocessable"] == ["b300"]
    made = [each.item.ref.name for each in batch if each.error is None]
    assert made == MANY.split()[: len(made)]
    assert made[-1] >= "b249"
    assert report == Report()
    suspects = [each for each in batch if each.error and each.error.error == "not_told_apart"]
    assert "b301" in [each.item.ref.name for each in suspects]
    assert all(str(each.error).startswith(f"One of {len(suspects)} objects") for each in suspects)
    assert all("suffers" in str(each.error) for each in suspects)
    assert {*made, *found["unprocessable"], *found["not_told_apart"], *found["not_tried"]} == {
        *MANY.split()
    }


async def test_no_trial_is_begun_after_the_time_of_a_batch() -> None:
    runner, batch = Runner("b001"), entries("b000 b001 b002")
    await tried(runner, batch, BatchLimits(seconds=-1))
    assert runner.sizes == []
    assert errors(batch) == {"not_tried": ["b000", "b001", "b002"]}


async def test_a_part_that_there_was_no_time_to_try_is_not_taken_for_good() -> None:
    runner, batch = Runner("b001", late=2, untried=Untried.OUT_OF_TIME), entries("b000 b001 b002")
    await tried(runner, batch)
    assert errors(batch) == {"not_told_apart": ["b000", "b001", "b002"]}


async def test_a_batch_that_there_was_no_time_to_try_is_made_and_says_so() -> None:
    batch = entries("b000 b001")
    report = await tried(Runner(late=1, untried=Untried.OUT_OF_TIME), batch)
    assert errors(batch) == {}
    assert [(each.reason, each.source) for each in report.warnings] == [("OutOfTime", "trial")]


async def test_a_batch_whose_turn_does_not_come_is_refused_as_a_whole() -> None:
    for late in (1, 2):
        batch = entries("b000 b001 b002")
        with pytest.raises(UnavailableError) as refused:
            await tried(Runner("b001", late=late, untried=Untried.BUSY), batch)
        assert (refused.value.error, refused.value.headers) == ("busy", {"retry-after": "5"})
