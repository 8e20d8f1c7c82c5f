"""The clusters in use stay sorted, whether few or many change at a time."""

from __future__ import annotations

from random import Random

import pytest

from fluxgate.ir import EndpointIR
from fluxgate.resources import ObjectRef
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec, ClusterUses

ORIGIN = ObjectRef("Upstream", "default", "pool")


def spec(number: int) -> ClusterSpec:
    return ClusterSpec.of(f"pool-{number:04d}", ClusterSettings(), (ORIGIN,))


def endpoints(pool: str) -> tuple[EndpointIR, ...]:
    return (EndpointIR("192.0.2.1", int(pool.removeprefix("pool-")) + 1),)


def names(uses: ClusterUses) -> list[str]:
    return [cluster.name for cluster in uses.clusters(endpoints)]


@pytest.mark.parametrize("at_a_time", [1, 7, 300])
def test_however_many_come_at_a_time_the_clusters_are_the_same_and_sorted(at_a_time: int) -> None:
    uses = ClusterUses()
    numbers = [each * 7 % 300 for each in range(300)]  # every number once, in no order

    for first in range(0, 300, at_a_time):
        for number in numbers[first : first + at_a_time]:
            uses.add(spec(number))
        uses.clusters(endpoints)

    assert names(uses) == [spec(number).name for number in range(300)]


@pytest.mark.parametrize("gone", [1, 200])
def test_what_nobody_uses_any_more_is_gone(gone: int) -> None:
    uses = ClusterUses()
    for number in range(300):
        uses.add(spec(number))
    uses.clusters(endpoints)

    for number in range(gone):
        uses.remove(spec(number))

    assert names(uses) == [spec(number).name for number in range(gone, 300)]


def shared(number: int) -> ClusterSpec:
    """One pool, referred to by one of many routes."""
    origins = (ORIGIN, ObjectRef("Route", "default", f"r-{number:04d}"))
    return ClusterSpec.of("pool-0000", ClusterSettings(), origins)


def afresh(used: set[int]) -> tuple[ObjectRef, ...]:
    """Who is to blame, as a world finds it that never saw another state."""
    uses = ClusterUses()
    for number in used:
        uses.add(shared(number))
    return next(iter(uses.clusters(endpoints))).origins


@pytest.mark.parametrize("at_a_time", [1, 5, 200])
def test_a_cluster_of_many_routes_names_them_all_in_order_whoever_came_and_went(
    at_a_time: int,
) -> None:
    random, uses, used = Random(at_a_time), ClusterUses(), set[int]()
    uses.add(shared(0))
    used.add(0)

    for _ in range(40):
        for number in random.sample(range(1, 400), at_a_time):
            (uses.remove if number in used else uses.add)(shared(number))
            used ^= {number}
        (cluster,) = uses.clusters(endpoints)
        expected = {ORIGIN, *(ObjectRef("Route", "default", f"r-{each:04d}") for each in used)}
        assert cluster.origins == tuple(sorted(expected)) == afresh(used)


def test_a_route_that_refers_to_a_cluster_twice_is_named_until_it_does_so_no_more() -> None:
    uses = ClusterUses()
    for each in (shared(1), shared(1), shared(2)):
        uses.add(each)
    uses.remove(shared(1))
    (cluster,) = uses.clusters(endpoints)
    assert [ref.name for ref in cluster.origins] == ["r-0001", "r-0002", "pool"]

    uses.remove(shared(1))
    (cluster,) = uses.clusters(endpoints)
    assert [ref.name for ref in cluster.origins] == ["r-0002", "pool"]


def test_when_nothing_changed_the_answer_is_the_very_same() -> None:
    uses = ClusterUses()
    uses.add(spec(1))
    before = uses.clusters(endpoints)

    uses.add(spec(1))
    uses.endpoints_changed(["pool-0001"])

    assert uses.clusters(endpoints) is before
