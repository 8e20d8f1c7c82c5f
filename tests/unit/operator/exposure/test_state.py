"""The condition ``Exposed`` of a GatewayConfig."""

from __future__ import annotations

import pytest

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.exposure.state import ExposedStatuses, State, condition_of

MAIN = ObjectRef("GatewayConfig", "edge", "main")
ROUTE = ObjectRef("Route", "edge", "r")
ACCEPTED = Condition(ConditionType.ACCEPTED, status=True, reason=Reason.ACCEPTED)
FRONT = ("Ingress edge/fluxgate-main",)


@pytest.mark.parametrize(
    ("state", "reason", "status", "words"),
    [
        (State("Ingress", fronts=FRONT), Reason.EXPOSED, True, "by Ingress edge/fluxgate-main"),
        (
            State("Ingress", fronts=FRONT, waiting=FRONT, kept=("Service edge/old",)),
            Reason.PENDING,
            False,
            "has no address yet; Service edge/old stays until then",
        ),
        (
            State("Ingress", fronts=FRONT, problems=("the host 192.0.2.7 cannot",)),
            Reason.PARTIALLY_EXPOSED,
            True,
            "192.0.2.7",
        ),
        (
            State("Ingress", complete=False, fronts=FRONT, problems=("it is taken",)),
            Reason.NOT_EXPOSED,
            False,
            "it is taken",
        ),
        (State("Ingress"), Reason.PENDING, False, "no host to expose"),
        (State("None", problems=("cannot be deleted",)), Reason.NOT_EXPOSED, False, "deleted"),
    ],
)
def test_it_says_where_it_stands_and_why(
    state: State, reason: Reason, status: bool, words: str
) -> None:
    condition = condition_of(state)
    assert condition is not None
    assert (condition.type, condition.reason) == (ConditionType.EXPOSED, reason)
    assert condition.status is status
    assert words in condition.message


def test_one_that_asks_for_nothing_has_no_such_condition() -> None:
    assert condition_of(State()) is None


def test_many_objects_are_counted_not_listed() -> None:
    condition = condition_of(
        State("OpenShiftRoute", fronts=tuple(f"Route {n}" for n in range(900)))
    )
    assert condition is not None
    assert condition.message.endswith("Route 4 and 895 more")


def test_it_is_added_to_gatewayconfigs_and_the_others_stay_the_same_objects() -> None:
    book = {ref: ObjectStatus(ref, 1, (ACCEPTED,)) for ref in (MAIN, ROUTE)}
    adds = ExposedStatuses()
    states = {MAIN: State("Ingress", fronts=FRONT)}
    found = adds.add(book, states)
    assert found[ROUTE] is book[ROUTE]
    assert [each.type for each in found[MAIN].conditions] == ["Accepted", "Exposed"]
    assert adds.add(book, states)[MAIN] is found[MAIN]
    assert adds.add(book, {MAIN: State("Ingress")})[MAIN] is not found[MAIN]


def test_what_was_not_looked_at_is_not_written() -> None:
    book = {ref: ObjectStatus(ref, 1, (ACCEPTED,)) for ref in (MAIN, ROUTE)}
    assert ExposedStatuses().add(book, {}).keys() == {ROUTE}


def test_a_gateway_that_is_not_exposed_is_accepted_all_the_same() -> None:
    condition = condition_of(State("Ingress", complete=False, problems=("it is taken",)))
    assert condition is not None
    assert ObjectStatus(MAIN, 1, (ACCEPTED, condition)).accepted
