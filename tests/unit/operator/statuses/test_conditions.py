"""What is patched, and when."""

from __future__ import annotations

from typing import Any

import pytest

from fluxgate.errors import FieldProblem
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.statuses.conditions import (
    MAX_MESSAGE,
    NOTHING,
    Urgency,
    change_of,
    invalid_status,
    patch_of,
)

REF = ObjectRef("Route", "default", "a")
THEN, NOW = "2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"
ACCEPTED = Condition(ConditionType.ACCEPTED, True, Reason.ACCEPTED)
RESOLVED = Condition(ConditionType.RESOLVED_REFS, True, Reason.RESOLVED_REFS)
SERVED = Condition(ConditionType.PROGRAMMED, True, Reason.PROGRAMMED, "every node serves it")
PENDING = Condition(ConditionType.PROGRAMMED, False, Reason.PENDING, "1 of 2 nodes serve it")


def status(*conditions: Condition, generation: int = 1) -> ObjectStatus:
    return ObjectStatus(REF, generation, conditions or (ACCEPTED, RESOLVED, SERVED))


def written(wanted: ObjectStatus, at: str = THEN) -> dict[str, Any]:
    return dict(change_of({}, wanted, at).status)


def conditions(seen: dict[str, Any], wanted: ObjectStatus) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in change_of(seen, wanted, NOW).status["conditions"]}


def test_a_first_status_says_everything() -> None:
    found = written(status())
    assert found["observedGeneration"] == 1
    assert found["conditions"][2] == {
        "type": "Programmed",
        "status": "True",
        "reason": "Programmed",
        "message": "every node serves it",
        "observedGeneration": 1,
        "lastTransitionTime": THEN,
    }


def test_what_is_written_already_is_not_written_again() -> None:
    assert change_of(written(status()), status(), NOW) is NOTHING


def test_the_time_moves_only_for_the_condition_whose_status_changed() -> None:
    found = conditions(written(status()), status(ACCEPTED, RESOLVED, PENDING))
    assert found["Accepted"]["lastTransitionTime"] == THEN
    assert found["Programmed"]["lastTransitionTime"] == NOW


def test_another_message_or_generation_does_not_move_the_time() -> None:
    found = conditions(written(status()), status(generation=2))
    assert found["Programmed"]["observedGeneration"] == 2
    assert found["Programmed"]["lastTransitionTime"] == THEN


def test_conditions_and_fields_of_others_stay() -> None:
    foreign = {"type": "example.com/Reviewed", "status": "True"}
    seen = written(status())
    seen = {**seen, "conditions": [foreign, *seen["conditions"]], "theirs": 1}
    assert change_of(seen, status(), NOW) is NOTHING
    patch = change_of(seen, status(generation=2), NOW).status
    assert foreign in patch["conditions"]
    assert "theirs" not in patch


def test_an_older_generation_never_overwrites_a_newer_one() -> None:
    seen = written(status(generation=3))
    assert change_of(seen, status(ACCEPTED, RESOLVED, PENDING, generation=2), NOW) is NOTHING


@pytest.mark.parametrize("broken", [{"conditions": None}, {"conditions": "x"}, {}])
def test_a_status_that_somebody_spoiled_is_written_anew(broken: dict[str, Any]) -> None:
    assert len(change_of(broken, status(), NOW).status["conditions"]) == 3


def test_an_object_on_its_way_to_the_nodes_may_arrive_first() -> None:
    wanted = status(ACCEPTED, RESOLVED, PENDING)
    assert change_of({}, wanted, NOW).urgency is Urgency.PENDING


def test_one_that_was_served_in_this_form_is_given_longer() -> None:
    wanted = status(ACCEPTED, RESOLVED, PENDING)
    assert change_of(written(status()), wanted, NOW).urgency is Urgency.LOST


def test_a_new_generation_of_one_that_was_served_is_on_its_way() -> None:
    wanted = status(ACCEPTED, RESOLVED, PENDING, generation=2)
    assert change_of(written(status()), wanted, NOW).urgency is Urgency.PENDING


def test_bad_news_and_arrivals_are_written_at_once() -> None:
    refused = Condition(ConditionType.ACCEPTED, False, Reason.INVALID, "no")
    rejected = Condition(ConditionType.PROGRAMMED, False, Reason.ENVOY_REJECTED, "no such filter")
    assert change_of({}, status(refused, RESOLVED, PENDING), NOW).urgency is Urgency.NOW
    assert change_of({}, status(ACCEPTED, RESOLVED, rejected), NOW).urgency is Urgency.NOW
    assert change_of({}, status(), NOW).urgency is Urgency.NOW


def test_further_fields_are_compared_too_and_none_takes_one_away() -> None:
    extras = {"nodes": {"connected": 1, "current": 1}, "addresses": None}
    seen = written(status())
    assert change_of(seen, status(), NOW, extras).status == {"nodes": extras["nodes"]}
    shown = {**seen, "nodes": extras["nodes"]}
    assert change_of(shown, status(), NOW, extras) is NOTHING
    assert change_of({**shown, "addresses": ["x"]}, status(), NOW, extras).status == {
        "addresses": None
    }


def test_an_object_that_cannot_be_read_is_told_every_problem() -> None:
    problems = (FieldProblem("spec.hosts", "too many"), FieldProblem("spec.x", "unknown"))
    found = invalid_status(ObjectFacts(REF, "u", "5", 4, {}, problems))
    accepted, programmed = found.conditions
    assert (accepted.status, accepted.reason) == (False, Reason.INVALID)
    assert accepted.message == "spec.hosts: too many; spec.x: unknown"
    assert not programmed.status
    assert found.observed_generation == 4


def test_a_message_fits_into_a_condition() -> None:
    long = Condition(ConditionType.ACCEPTED, False, Reason.INVALID, "x" * (MAX_MESSAGE + 1))
    message = written(status(long))["conditions"][0]["message"]
    assert len(message) == MAX_MESSAGE


def test_a_patch_names_the_very_object_and_version_it_was_made_for() -> None:
    facts = ObjectFacts(REF, "u", "5", 1)
    patch = patch_of(facts, change_of({}, status(), NOW), "6")
    assert patch["metadata"] == {"uid": "u", "resourceVersion": "6"}
