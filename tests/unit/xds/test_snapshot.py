"""Snapshots: sorted, versioned by content, consistent or not."""

import random

import pytest

from fluxgate.errors import InconsistentSnapshotError
from fluxgate.snapshot import ResourceSet, Snapshot, SnapshotResource
from fluxgate.xds import typeurl


def resource(name: str, payload: bytes = b"1", **fields: object) -> SnapshotResource:
    return SnapshotResource.of(typeurl.CLUSTER, name, payload, **fields)  # type: ignore[arg-type]


def test_the_order_of_resources_does_not_matter() -> None:
    listed = [resource(f"c{number}") for number in range(50)]
    shuffled = random.Random(7).sample(listed, len(listed))
    assert Snapshot.of(listed) == Snapshot.of(shuffled)
    assert list(Snapshot.of(shuffled).of_type(typeurl.CLUSTER)) == sorted(
        each.name for each in listed
    )


def test_every_change_of_content_changes_the_version() -> None:
    versions = {
        Snapshot.of(listed).version
        for listed in (
            [],
            [resource("a")],
            [resource("b")],
            [resource("a", b"2")],
            [resource("a"), resource("b")],
        )
    }
    assert len(versions) == 5


def test_a_final_resource_changes_its_types_version_and_not_the_snapshots() -> None:
    plain = Snapshot.of([resource("a")])
    with_final = Snapshot.of([resource("a"), resource("probe", final=True)])
    assert with_final.version == plain.version
    assert with_final.versions[typeurl.CLUSTER] != plain.versions[typeurl.CLUSTER]


def test_two_resources_of_one_type_may_not_share_a_name() -> None:
    with pytest.raises(ValueError, match="are named 'a'"):
        Snapshot.of([resource("a"), resource("b"), resource("a", b"2")])


def test_a_reference_that_leads_nowhere_is_named() -> None:
    dangling = resource("a", references=[(typeurl.ENDPOINT, "gone")])
    snapshot = Snapshot.of([dangling, resource("b")])
    assert snapshot.problems() == (
        "Cluster 'a' refers to ClusterLoadAssignment 'gone', which is not in the snapshot",
    )
    with pytest.raises(InconsistentSnapshotError, match="'gone'"):
        snapshot.require_consistent()


def test_a_reference_to_another_type_of_the_same_name_does_not_count() -> None:
    confused = resource("a", references=[(typeurl.ENDPOINT, "a")])
    assert len(Snapshot.of([confused]).problems()) == 1


def test_a_set_of_the_same_objects_is_the_same_set() -> None:
    one, two = resource("a"), resource("b")
    first = ResourceSet.of([one, two])
    assert ResourceSet.of([two, one], first) is first
    assert ResourceSet.of([one], first) is not first
    assert ResourceSet.of([one, resource("b", b"2")], first) is not first


TARGET = SnapshotResource.of(typeurl.ENDPOINT, "e", b"1")
USER = resource("a", references=[(typeurl.ENDPOINT, "e")])


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([USER], id="what was referred to is gone"),
        pytest.param(
            [USER, TARGET, resource("b", references=[(typeurl.ENDPOINT, "gone")])],
            id="a new resource refers to nothing",
        ),
        pytest.param(
            [resource("a", references=[(typeurl.ENDPOINT, "gone")]), TARGET],
            id="a known resource refers to nothing",
        ),
    ],
)
def test_what_broke_since_a_consistent_snapshot_is_noticed(after: list[SnapshotResource]) -> None:
    before = Snapshot.of([USER, TARGET])
    before.require_consistent()
    with pytest.raises(InconsistentSnapshotError):
        Snapshot.of(after).require_consistent(before)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([USER, TARGET, resource("b")], id="something more"),
        pytest.param([TARGET], id="something less that nothing referred to"),
        pytest.param([], id="nothing at all"),
        pytest.param([resource("a"), TARGET], id="a reference less"),
    ],
)
def test_what_is_consistent_is_so_whatever_was_before(after: list[SnapshotResource]) -> None:
    before = Snapshot.of([USER, TARGET])
    Snapshot.of(after).require_consistent(before)
