"""Who is looked at next."""

from __future__ import annotations

from fluxgate.resources import ObjectRef
from fluxgate_operator.statuses.queue import StatusQueue

A, B, C = (ObjectRef("Route", "default", name) for name in "abc")


def test_the_newest_is_taken_first() -> None:
    queue = StatusQueue()
    queue.add((A, B))
    queue.add((C,))
    queue.add((A,))
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [A, C, B, None]


def test_one_object_is_in_one_hand_and_looked_at_again_when_it_changed_meanwhile() -> None:
    queue = StatusQueue()
    queue.add((A,))
    assert queue.take() == A
    queue.add((A,))
    assert queue.take() is None
    queue.release(A)
    assert queue.take() == A
    queue.release(A)
    assert queue.take() is None


def test_what_is_postponed_wakes_in_time_and_knows_that_its_time_has_come() -> None:
    queue = StatusQueue()
    assert queue.postpone(A, 5.0) == 5.0
    assert queue.postpone(A, 9.0) == 5.0
    assert queue.wake(4.0) == 5.0
    assert queue.take() is None
    assert queue.wake(5.0) is None
    assert queue.take() == A
    assert queue.postpone(A, 14.0) == 5.0


def test_an_earlier_time_replaces_a_later_one() -> None:
    queue = StatusQueue()
    queue.postpone(A, 9.0)
    assert queue.postpone(A, 5.0) == 5.0
    queue.wake(5.0)
    assert queue.take() == A
    queue.settle(A)
    assert queue.wake(9.0) is None
    queue.release(A)
    assert queue.take() is None


def test_what_was_settled_does_not_wake() -> None:
    queue = StatusQueue()
    queue.postpone(A, 5.0)
    queue.settle(A)
    assert queue.wake(6.0) is None
    assert queue.take() is None


def test_a_retry_replaces_whatever_was_due() -> None:
    queue = StatusQueue()
    queue.postpone(A, 5.0)
    queue.wake(5.0)
    queue.take()
    queue.release(A)
    queue.again_at(A, 7.0)
    assert queue.wake(6.0) == 7.0
    assert queue.take() is None
    queue.wake(7.0)
    assert queue.take() == A
