"""What is new in a collection is found by identity."""

from __future__ import annotations

from fluxgate.difference import fresh


def test_only_objects_that_were_not_there_before_are_fresh() -> None:
    old, kept, new = [1], [2], [3]
    assert fresh((kept, new), (old, kept)) == [new]


def test_an_equal_object_that_is_another_one_is_fresh() -> None:
    before, now = [1], [1]
    found = fresh((now,), (before,))
    assert len(found) == 1
    assert found[0] is now


def test_nothing_is_fresh_in_the_same_collection() -> None:
    members = ([1], [2])
    assert fresh(members, members) == []
