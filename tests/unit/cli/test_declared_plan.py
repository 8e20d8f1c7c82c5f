"""Plans: what is done to an API for a folder, in which order, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.batch_order import rank_of
from fluxgate_cli.declared.plan import MANAGED_BY, Action, Step, Wishes, in_batches, make_plan
from fluxgate_cli.declared.present import Present
from fluxgate_cli.declared.showing import diff_of


def document(kind: str, name: str, spec: dict[str, Any], owner: str = "") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "default"}
    metadata |= {"labels": {MANAGED_BY: owner}} if owner else {}
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }


def backend(name: str, port: int = 80, owner: str = "") -> dict[str, Any]:
    return document("Backend", name, {"url": f"http://127.0.0.1:{port}"}, owner)


def ref(found: Document) -> ObjectRef:
    return ObjectRef(found["kind"], "default", found["metadata"]["name"])


def plan(wanted: list[Document], there: list[Document], **wishes: Any) -> tuple[Step, ...]:
    present = {ref(each): Present(ref(each), each, f"etag of {ref(each).name}") for each in there}
    return make_plan({ref(each): each for each in wanted}, present, Wishes(**wishes))


def actions(steps: tuple[Step, ...]) -> dict[str, Action]:
    return {each.ref.name: each.action for each in steps}


def test_what_is_missing_is_made_what_differs_is_changed_and_what_is_equal_is_kept() -> None:
    steps = plan(
        [backend("new"), backend("changed", 81), backend("same")],
        [backend("changed"), backend("same"), backend("elsewhere")],
    )
    assert actions(steps) == {
        "new": Action.CREATE,
        "changed": Action.UPDATE,
        "same": Action.KEEP,
    }
    assert {each.ref.name: each.etag for each in steps} == {
        "new": "",
        "changed": "etag of changed",
        "same": "etag of same",
    }


def test_a_default_that_is_written_out_is_no_difference() -> None:
    there = document(
        "Backend", "a", {"url": "http://127.0.0.1:80", "protocol": "HTTP1", "weight": 1}
    )
    (step,) = plan([backend("a")], [there])
    assert step.action is Action.KEEP
    (step,) = plan([backend("a", 81)], [there])
    assert "protocol" not in diff_of(step)


def test_a_set_labels_what_it_writes_and_adopts_what_nobody_owns() -> None:
    (made, adopted) = plan(
        [backend("made"), backend("adopted")], [backend("adopted")], set_name="s"
    )
    for step in (made, adopted):
        assert step.after is not None
        assert step.after["metadata"]["labels"] == {MANAGED_BY: "s"}
        assert step.action.writes


@pytest.mark.parametrize("set_name", ["mine", None])
def test_what_another_set_owns_is_left_alone(set_name: str | None) -> None:
    there = [backend("a", owner="theirs")]
    assert actions(plan([backend("a", 81)], there, set_name=set_name)) == {"a": Action.FOREIGN}
    taken = plan([backend("a", 81)], there, set_name=set_name, take_over=True)
    assert actions(taken) == {"a": Action.UPDATE}


def test_only_objects_of_the_set_go_and_only_when_asked() -> None:
    there = [backend("mine", owner="s"), backend("theirs", owner="t"), backend("nobodys")]
    assert actions(plan([], there, set_name="s")) == {"mine": Action.EXTRA}
    assert actions(plan([], there, set_name="s", prune=True)) == {"mine": Action.DELETE}
    assert plan([], there) == ()


def test_what_others_need_is_written_first_and_deleted_last() -> None:
    route = document("Route", "r", {})
    for_route = document(
        "Plugin", "p", {"type": "cors", "targets": [{"kind": "Route", "name": "r"}]}
    )
    shared = document("Plugin", "q", {"type": "cors"})
    upstream = document("Upstream", "u", {})
    wanted = [for_route, route, shared, backend("b"), upstream, document("Tenant", "t", {})]
    gone = [
        document("Route", "old", {}, "s"),
        backend("oldb", owner="s"),
        document("Upstream", "oldu", {}, "s"),
    ]
    steps = plan(wanted, gone, set_name="s", prune=True)
    assert [each.ref.name for each in steps] == [
        *("t", "u", "b", "q", "r", "p"),
        *("old", "oldb", "oldu"),
    ]


def test_every_kind_has_a_rank_of_its_own_for_deletion() -> None:
    assert rank_of("Route", None) < rank_of("Backend", None) < rank_of("Upstream", None)
    assert max(rank_of(kind, {}) for kind in ("Tenant", "Route", "ApiKey")) < rank_of(
        "ApiKey", None
    )


@pytest.mark.parametrize(
    ("most", "size", "batches"),
    [(2, 100, [2, 2, 1]), (10, 30, [3, 2]), (10, 5, [1, 1, 1, 1, 1]), (10, 100, [5])],
)
def test_batches_are_bounded_by_number_and_size_and_keep_the_order(
    most: int, size: int, batches: list[int]
) -> None:
    steps = plan([backend(f"b{n}") for n in range(5)], [])
    cost = {each.ref: 10 for each in steps}
    found = list(in_batches(steps, most, size, cost))
    assert [len(each) for each in found] == batches
    assert [step for batch in found for step in batch] == list(steps)
