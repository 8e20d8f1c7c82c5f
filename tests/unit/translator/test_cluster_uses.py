"""The clusters in use stay sorted, whether few or many change at a time."""

from __future__ import annotations

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


def test_when_nothing_changed_the_answer_is_the_very_same() -> None:
    uses = ClusterUses()
    uses.add(spec(1))
    before = uses.clusters(endpoints)

    uses.add(spec(1))
    uses.endpoints_changed(["pool-0001"])

    assert uses.clusters(endpoints) is before
