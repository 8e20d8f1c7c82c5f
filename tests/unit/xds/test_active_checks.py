"""How active checks are spread over time, and what it changes when there are more of them."""

from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import health_check_pb2 as health_check_v3
from support.gateway import cluster, forward, gateway, route

from fluxgate.ir import ActiveCheck, Cluster, ClusterTLS, EndpointIR, Gateway
from fluxgate.xds import typeurl
from fluxgate.xds.build import BuildCache, build_snapshot
from fluxgate.xds.health import first_checks_within_ms

CHECK = ActiveCheck("HTTP", "/", "", "", 10_000, 2_000, 2, 3, (200,))


def pool(name: str, targets: int, **fields: object) -> Cluster:
    endpoints = tuple(EndpointIR("127.0.0.1", 1 + number) for number in range(targets))
    return cluster(name, endpoints=endpoints, **{"active_check": CHECK, **fields})


def serving(*pools: Cluster) -> Gateway:
    return gateway([route(f"/{each.name}", forward(each.name)) for each in pools], pools)


def check_of(pools: Gateway, name: str) -> health_check_v3.HealthCheck:
    payload = build_snapshot(pools).of_type(typeurl.CLUSTER)[name].payload
    (found,) = cluster_v3.Cluster.FromString(payload).health_checks
    return found


@pytest.mark.parametrize(
    ("targets", "milliseconds"),
    [
        *((0, 0), (1, 0), (1_000, 0)),
        *((1_001, 1_000), (4_000, 1_000)),
        *((4_001, 4_000), (16_000, 4_000), (16_001, 16_000)),
    ],
)
def test_first_checks_are_spread_in_steps_and_not_at_all_where_they_are_few(
    targets: int, milliseconds: int
) -> None:
    assert first_checks_within_ms(targets) == milliseconds


def test_no_more_than_four_checks_a_millisecond_begin() -> None:
    for targets in (1_001, 3_000, 4_001, 10_000, 16_001, 100_000):
        assert targets / first_checks_within_ms(targets) <= 4


def test_a_pool_is_asked_at_once_when_few_targets_are_checked() -> None:
    assert not check_of(serving(pool("a", 1_000)), "a").HasField("initial_jitter")


def test_targets_of_all_checked_pools_count_and_of_no_others() -> None:
    unchecked = pool("b", 5_000, active_check=None)
    few = serving(pool("a", 500), unchecked, pool("c", 500))
    assert not check_of(few, "a").HasField("initial_jitter")
    many = serving(pool("a", 500), unchecked, pool("c", 501))
    assert check_of(many, "a").initial_jitter.ToMilliseconds() == 1_000


def test_first_checks_over_tls_are_spread_twice_as_far() -> None:
    both = serving(pool("a", 1_000), pool("b", 1_000, tls=ClusterTLS("b.example.com")))
    assert check_of(both, "a").initial_jitter.ToMilliseconds() == 1_000
    assert check_of(both, "b").initial_jitter.ToMilliseconds() == 2_000


def test_later_checks_drift_apart_whatever_their_number() -> None:
    assert check_of(serving(pool("a", 1)), "a").interval_jitter_percent == 10


def test_no_connection_is_kept_for_the_next_check() -> None:
    both = serving(pool("a", 1), pool("b", 1, tls=ClusterTLS("b.example.com")))
    for each in (check_of(both, "a"), check_of(both, "b")):
        assert each.HasField("reuse_connection")
        assert each.reuse_connection.value is False


def test_within_a_step_other_pools_are_left_as_they_are() -> None:
    cache = BuildCache()
    before = build_snapshot(serving(pool("a", 900), pool("b", 300)), cache)
    after = build_snapshot(serving(pool("a", 900), pool("b", 3_000)), cache)
    assert after.of_type(typeurl.CLUSTER)["a"] is before.of_type(typeurl.CLUSTER)["a"]


@pytest.mark.parametrize(("before", "after"), [(1_000, 1_001), (1_001, 1_000), (900, 20_000)])
def test_a_step_changes_checked_pools_and_a_cached_build_equals_a_fresh_one(
    before: int, after: int
) -> None:
    cache, quiet = BuildCache(), pool("quiet", 10, active_check=None)
    a, b = pool("a", 1), pool("b", before - 1)
    first = build_snapshot(serving(a, b, quiet), cache)
    edited = serving(a, pool("b", after - 1), quiet)
    second = build_snapshot(edited, cache)
    assert second == build_snapshot(edited)
    assert {
        name: second.of_type(typeurl.CLUSTER)[name] is first.of_type(typeurl.CLUSTER)[name]
        for name in ("a", "quiet")
    } == {"a": False, "quiet": True}


def test_pools_that_go_or_lose_their_check_count_no_more() -> None:
    cache = BuildCache()
    large = serving(pool("a", 1), pool("b", 1_000), pool("c", 1_000))
    build_snapshot(large, cache)
    without = serving(pool("a", 1), replace(pool("b", 1_000), active_check=None))
    assert build_snapshot(without, cache) == build_snapshot(without)
    assert not check_of(without, "a").HasField("initial_jitter")
