"""Whom a batch refuses when what is wrong with it names nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import ConflictError
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.batch_items import Entry, Item
from fluxgate_admin.use_cases.batch_trial import BatchTrial
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
