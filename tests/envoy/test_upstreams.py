"""Clusters: shares, health, retries, timeouts, protocols."""

from collections import Counter
from dataclasses import replace

import pytest
from support.envoy import eventually
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route
from support.upstream import (
    Answer,
    EchoUpstream,
    RefusingUpstream,
    SeenRequest,
    SilentUpstream,
)

from fluxgate.ir import (
    ActiveCheck,
    EndpointIR,
    Forward,
    HashPolicy,
    Health,
    LoadBalancer,
    OutlierDetection,
    RetryPolicy,
    WeightedCluster,
)

pytestmark = pytest.mark.envoy


def endpoint(upstream: EchoUpstream, **fields: object) -> EndpointIR:
    return replace(EndpointIR(upstream.host, upstream.port), **fields)


def answers(served: GatewayEnvoy, count: int, path: str = "/") -> Counter[str]:
    return Counter(served.get(path).json().get("upstream", "none") for _ in range(count))


def test_clusters_get_their_weights_shares() -> None:
    action = Forward((WeightedCluster("a", 90), WeightedCluster("b", 10), WeightedCluster("c", 0)))
    with EchoUpstream("a") as a, EchoUpstream("b") as b, EchoUpstream("c") as c:
        clusters = (cluster("a", a), cluster("b", b), cluster("c", c))
        with GatewayEnvoy(gateway((route("/", action),), clusters)) as served:
            shares = answers(served, 600)
    assert shares["c"] == 0
    # binomial, n = 600, p = 0.1: 60 expected, standard deviation 7.3; six of them either way
    assert 16 <= shares["b"] <= 104


def test_endpoints_get_their_weights_shares_exactly_in_turn() -> None:
    with EchoUpstream("a") as a, EchoUpstream("b") as b:
        pool = cluster("up", endpoints=(endpoint(a, weight=3), endpoint(b, weight=1)))
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            assert answers(served, 40) == {"a": 30, "b": 10}


@pytest.mark.parametrize("taken_out", [{"health": Health.UNHEALTHY}, {"weight": 0}])
def test_an_endpoint_taken_out_by_hand_gets_nothing(taken_out: dict[str, object]) -> None:
    with EchoUpstream("a") as a, EchoUpstream("b") as b:
        pool = cluster("up", endpoints=(endpoint(a), endpoint(b, **taken_out)))
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            assert answers(served, 10) == {"a": 10}


def test_a_pool_whose_every_endpoint_is_taken_out_answers_503() -> None:
    with EchoUpstream() as a:
        pool = cluster("up", endpoints=(endpoint(a, health=Health.UNHEALTHY),))
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            assert served.get().status == 503


@pytest.mark.parametrize("policy", ["RingHash", "Maglev"])
def test_a_consistent_hash_keeps_a_caller_on_one_endpoint(policy: str) -> None:
    action = forward("up", hash_policy=HashPolicy(header="x-user"))
    with EchoUpstream("a") as a, EchoUpstream("b") as b, EchoUpstream("c") as c:
        pool = cluster("up", a, b, c, load_balancer=LoadBalancer(policy))
        with GatewayEnvoy(gateway((route("/", action),), (pool,))) as served:

            def chosen(user: str) -> set[str]:
                return {served.get("/", [("x-user", user)]).json()["upstream"] for _ in range(5)}

            choices = [chosen(f"user-{number}") for number in range(20)]
    assert all(len(choice) == 1 for choice in choices)
    assert len(set.union(*choices)) > 1


@pytest.mark.parametrize("policy", ["RoundRobin", "LeastRequest", "Random"])
def test_a_spreading_policy_uses_every_endpoint(policy: str) -> None:
    with EchoUpstream("a") as a, EchoUpstream("b") as b:
        pool = cluster("up", a, b, load_balancer=LoadBalancer(policy, slow_start_ms=0))
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            assert set(answers(served, 60)) == {"a", "b"}


def test_retries_are_made_as_often_as_configured() -> None:
    retry = RetryPolicy(3, ("retriable-4xx",), status_codes=(503,), back_off_base_ms=1)
    with EchoUpstream() as echo:
        routes = (route("/", forward("up", retry=retry)),)
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),))) as served:
            assert served.get("/", [("x-echo-status", "503")]).status == 503
            assert len(echo.requests) == 4
            assert len({seen.header("x-request-id") for seen in echo.requests}) == 1


def test_a_retry_that_succeeds_is_what_the_client_sees() -> None:
    statuses = iter((503, 503, 200))

    def fail_twice(seen: SeenRequest) -> Answer:
        return Answer(next(statuses))

    retry = RetryPolicy(3, (), status_codes=(503,), back_off_base_ms=1)
    with EchoUpstream(respond=fail_twice) as echo:
        routes = (route("/", forward("up", retry=retry)),)
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),))) as served:
            assert served.get().status == 200
            assert len(echo.requests) == 3
            (line,) = served.envoy.access_log(count=1)
    assert line["upstream_attempts"] == 3


def test_without_a_policy_nothing_is_retried() -> None:
    with EchoUpstream() as echo:
        routes = (route("/", forward("up")),)
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),))) as served:
            served.get("/", [("x-echo-status", "503")])
            assert len(echo.requests) == 1


def test_a_refused_connection_is_retried_on_another_endpoint() -> None:
    retry = RetryPolicy(3, ("connect-failure",), back_off_base_ms=1)
    with EchoUpstream("a") as a, RefusingUpstream() as refusing:
        routes = (route("/", forward("up", retry=retry)),)
        with GatewayEnvoy(gateway(routes, (cluster("up", a, refusing),))) as served:
            assert answers(served, 20) == {"a": 20}


def test_a_request_times_out_after_its_routes_own_time() -> None:
    with SilentUpstream() as silent:
        routes = (route("/", forward("up", timeout_ms=150)),)
        with GatewayEnvoy(gateway(routes, (cluster("up", silent),))) as served:
            assert served.get().status == 504
            (line,) = served.envoy.access_log(count=1)
    assert line["response_flags"] == "UT"
    # Envoy rounds its timers and its durations to whole milliseconds, each on its own
    assert 148 <= line["duration_ms"] < 5_000


def test_a_health_check_takes_a_failing_endpoint_out() -> None:
    def failing(seen: SeenRequest) -> Answer:
        return Answer(500 if seen.path == "/healthz" else 200)

    check = ActiveCheck("HTTP", "/healthz", "", "", 50, 10_000, 1, 1, (200,))
    with EchoUpstream("a") as a, EchoUpstream("b", failing) as b:
        pool = cluster("up", a, b, active_check=check)
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            name = "cluster.up.membership_healthy"
            eventually(lambda: served.envoy.stats(name).get(name) == 1, what="b is out")
            assert answers(served, 10) == {"a": 10}


def test_an_endpoint_declared_healthy_is_used_whatever_its_check_says() -> None:
    check = ActiveCheck("HTTP", "/healthz", "", "", 50, 10_000, 1, 1, (204,))
    with EchoUpstream("a") as a, EchoUpstream("b") as b:
        pool = cluster(
            "up", endpoints=(endpoint(a), endpoint(b, health=Health.HEALTHY)), active_check=check
        )
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            name = "cluster.up.membership_healthy"
            eventually(lambda: served.envoy.stats(name).get(name) == 1, what="a is out")
            assert answers(served, 10) == {"b": 10}


def test_an_endpoint_that_keeps_failing_is_ejected() -> None:
    passive = OutlierDetection(3, 50, 60_000, 50)

    def failing(seen: SeenRequest) -> Answer:
        return Answer(500, body=b'{"upstream": "b"}')

    with EchoUpstream("a") as a, EchoUpstream("b", failing) as b:
        pool = cluster("up", a, b, outlier_detection=passive)
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            answers(served, 12)
            assert answers(served, 10) == {"a": 10}


def test_a_name_is_resolved_by_the_proxy() -> None:
    with EchoUpstream("named") as echo:
        pool = cluster("up", endpoints=(EndpointIR("localhost", echo.port),), dns=True)
        with GatewayEnvoy(gateway((route("/", forward("up")),), (pool,))) as served:
            assert answers(served, 3) == {"named": 3}
