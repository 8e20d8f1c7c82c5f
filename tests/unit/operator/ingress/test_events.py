"""The Event about an Ingress, as the API's limits want it."""

from __future__ import annotations

from datetime import UTC, datetime

from support.ingresses import ingress

from fluxgate_operator.ingress.events import shortened, warning
from fluxgate_operator.ingress.read import read_ingress

NOW = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def test_it_says_what_about_which_object_and_when() -> None:
    event = warning(read_ingress(ingress("a")), "spec.rules[0]: it is wrong", "replica-0", NOW)
    assert event["type"] == "Warning"
    assert event["note"] == "spec.rules[0]: it is wrong"
    assert event["eventTime"] == "2026-03-01T12:00:00.250000Z"
    assert event["regarding"]["kind"] == "Ingress"
    assert event["regarding"]["uid"] == "uid-of-a"


def test_the_same_problem_has_the_same_name_and_another_one_another() -> None:
    one = read_ingress(ingress("a"))
    names = [
        warning(one, problem, "replica-0", NOW)["metadata"]["name"] for problem in ("x", "x", "y")
    ]
    assert names[0] == names[1] != names[2]


def test_a_long_name_still_makes_a_name() -> None:
    name = ".".join(["a" * 60] * 4)
    event = warning(read_ingress(ingress(name)), "x", "i" * 300, NOW)
    assert len(event["metadata"]["name"]) <= 253
    assert len(event["reportingInstance"]) <= 128


def test_a_note_has_at_most_1024_bytes() -> None:
    assert shortened("short") == "short"
    long = shortened("ü" * 2000)
    assert len(long.encode()) <= 1024
    assert long.endswith("…")
