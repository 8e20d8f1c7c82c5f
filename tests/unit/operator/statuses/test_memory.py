"""What the writer remembers between a write and its echo."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.resources import ObjectRef
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.statuses.memory import Memory

REF = ObjectRef("Route", "default", "a")
FACTS = ObjectFacts(REF, "u", "99", 1, {"old": True})


def answer(version: str, uid: str = "u") -> dict[str, object]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "status": {"new": True}}


def test_an_own_write_counts_until_the_watch_shows_it() -> None:
    memory = Memory()
    memory.wrote(REF, answer("100"))
    assert memory.known(FACTS).version == "100"
    assert memory.known(FACTS).status == {"new": True}
    newer = replace(FACTS, resource_version="101", status={"theirs": True})
    assert memory.known(newer).status == {"theirs": True}
    assert memory.known(FACTS).version == "99"


def test_a_write_to_an_object_that_was_replaced_is_forgotten() -> None:
    memory = Memory()
    memory.wrote(REF, answer("100"))
    assert memory.known(replace(FACTS, uid="v")).status == {"old": True}


def test_a_refused_version_is_not_asked_for_again_until_a_newer_one_is_seen() -> None:
    memory = Memory()
    memory.refused(FACTS, memory.known(FACTS))
    assert memory.known(FACTS).refused
    assert not memory.known(replace(FACTS, resource_version="100")).refused
