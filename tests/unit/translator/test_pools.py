"""Pools: what Upstreams and Backends say about balancing, checks, connections, zones and sockets."""

from __future__ import annotations

import hashlib

import pytest
from unit.translator.world import World, edge, obj, path, route

from fluxgate.ir import (
    Cluster,
    Connections,
    FailureShare,
    HashPolicy,
    Keepalive,
    LoadBalancer,
    RetryBudget,
    Thresholds,
)
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec

A = {"host": "10.0.0.1", "port": 1}
SOCKET = {"host": "unix:///run/apps/a.sock"}


def upstream(name: str = "u", *targets: dict, **spec: object):
    return obj("Upstream", name, {"targets": list(targets) or [A], **spec})


def to(kind: str = "Upstream", name: str = "u", **spec: object):
    return route(backends=[{"kind": kind, "name": name}], **spec)


def only(*objects, **gateway: object) -> Cluster:
    (cluster,) = World(edge(**gateway), *objects).gateway.clusters
    return cluster


def hash_policy(*objects) -> HashPolicy | None:
    return World(edge(), *objects).route.action.hash_policy


class TestNames:
    def test_a_setting_that_is_written_out_as_its_default_renames_no_cluster(self):
        plain = only(upstream(), to())
        written = only(
            upstream(
                loadBalancing={"policy": "RoundRobin"}, dns={}, connection={}, connectTimeout="5s"
            ),
            to(),
        )
        assert plain.name == written.name

    @pytest.mark.parametrize(
        "spec",
        [
            {"loadBalancing": {"policy": "LeastRequest"}},
            {"connection": {"maxRequests": 1}},
            {"circuitBreaker": {"maxConnectionsPerTarget": 1}},
            {"healthChecks": {"active": {"method": "HEAD"}}},
            {"zones": [{"name": "a", "weight": 1}]},
        ],
    )
    def test_a_setting_that_differs_makes_another_cluster(self, spec):
        assert only(upstream(), to()).name != only(upstream(**spec), to()).name

    def test_a_field_of_a_later_version_renames_no_cluster_that_does_not_use_it(self):
        """The name is made of what differs from the defaults, so it does not know the rest."""

        def named(said: str) -> str:
            return "p/" + hashlib.sha256(said.encode()).hexdigest()[:8]

        assert ClusterSpec.of("p", ClusterSettings(), ()).name == named("()")
        settings = ClusterSettings(protocol="HTTP2", load_balancer=LoadBalancer("Maglev"))
        said = "(protocol='HTTP2',load_balancer=(policy='Maglev'))"
        assert ClusterSpec.of("p", settings, ()).name == named(said)


class TestBalancing:
    def test_a_backend_says_how_to_balance_what_it_points_to(self):
        balancing = {"policy": "RingHash", "hashOn": {"type": "Header", "name": "X-User"}}
        objects = (upstream(), obj("Backend", "b", {"upstream": "u", "loadBalancing": balancing}), to("Backend", "b"))  # fmt: skip
        assert only(*objects).load_balancer == LoadBalancer("RingHash")
        assert hash_policy(*objects) == HashPolicy(header="x-user")

    def test_a_backend_that_balances_by_itself_forgets_the_upstreams_hash(self):
        hashed = {"policy": "Maglev", "hashOn": {"type": "SourceIP"}}
        objects = (
            upstream(loadBalancing=hashed),
            obj("Backend", "b", {"upstream": "u", "loadBalancing": {"policy": "Random"}}),
            to("Backend", "b"),
        )
        assert hash_policy(*objects) is None

    @pytest.mark.parametrize(("written", "ttl"), [({}, None), ({"cookieTtl": "0s"}, 0), ({"cookieTtl": "2s"}, 2000)])  # fmt: skip
    def test_a_cookie_is_only_read_unless_it_has_a_lifetime(self, written, ttl):
        hash_on = {"type": "Cookie", "name": "sid", **written}
        objects = (upstream(loadBalancing={"policy": "Maglev", "hashOn": hash_on}), to())
        assert hash_policy(*objects) == HashPolicy(cookie="sid", cookie_ttl_ms=ttl)

    def test_weights_that_random_ignores_are_reported(self):
        world = World(
            edge(), upstream("u", {**A, "weight": 3}, {**A, "port": 2}, loadBalancing={"policy": "Random"}), to()
        )  # fmt: skip
        assert world.verdict("Upstream", "u") == (True, "PartiallyAccepted")
        assert "Random" in world.message("Upstream", "u")


class TestZones:
    def test_endpoints_carry_what_their_zone_says(self):
        targets = ({**A, "zone": "a"}, {**A, "port": 2, "zone": "b"}, {**A, "port": 3})
        zones = [{"name": "a", "weight": 7, "priority": 1}, {"name": "c", "weight": 1}]
        cluster = only(upstream("u", *targets, zones=zones), to())
        said = [(each.zone, each.zone_weight, each.priority) for each in cluster.endpoints]
        assert said == [("a", 7, 1), ("b", 1, 0), ("", 1, 0)]
        assert cluster.load_balancer.zones_weighted

    def test_zones_with_priorities_alone_have_no_weights(self):
        cluster = only(upstream("u", {**A, "zone": "a"}, zones=[{"name": "a", "priority": 1}]), to())  # fmt: skip
        assert [each.zone_weight for each in cluster.endpoints] == [0]
        assert not cluster.load_balancer.zones_weighted

    def test_a_backend_that_stays_in_its_zone_does_not_weigh_zones(self):
        near = {"policy": "LeastRequest", "zoneAware": {"minTargets": 3}}
        objects = (
            upstream("u", {**A, "zone": "a"}, zones=[{"name": "a", "weight": 1}]),
            obj("Backend", "b", {"upstream": "u", "loadBalancing": near}),
            to("Backend", "b"),
        )
        balancer = only(*objects).load_balancer
        assert (balancer.zone_minimum, balancer.zones_weighted) == (3, False)


class TestChecks:
    def test_a_backends_checks_replace_the_upstreams(self):
        objects = (
            upstream(healthChecks={"active": {"path": "/a"}, "panicThreshold": 10}),
            obj("Backend", "b", {"upstream": "u", "healthChecks": {"passive": {}}}),
            to("Backend", "b"),
        )
        cluster = only(*objects)
        assert cluster.active_check is None
        assert cluster.panic_threshold is None
        assert cluster.outlier_detection is not None

    def test_a_path_is_short_for_a_check_and_keeps_the_rest_of_the_upstreams(self):
        backend = obj("Backend", "b", {"upstream": "u", "healthCheckPath": "/ready"})
        checked = upstream(healthChecks={"active": {"path": "/a", "interval": "1s"}})
        cluster = only(checked, backend, to("Backend", "b"))
        assert (cluster.active_check.path, cluster.active_check.interval_ms) == ("/ready", 1000)
        cluster = only(upstream(), backend, to("Backend", "b"))
        assert (cluster.active_check.path, cluster.active_check.interval_ms) == ("/ready", 10_000)

    def test_pools_checked_at_another_port_have_endpoints_of_their_own(self):
        other = obj("Backend", "b", {"upstream": "u", "healthChecks": {"active": {"port": 9}}})
        world = World(
            edge(),
            upstream(healthChecks={"active": {}}),
            other,
            to(),
            route("s", matches=[path("/s")], backends=[{"name": "b"}]),
        )
        names = {each.eds_name for each in world.gateway.clusters}
        assert names == {"upstream/default/u", "upstream/default/u#port=9"}

    def test_a_grpc_check_of_a_backend_over_http1_is_refused_by_its_field(self):
        backend = obj("Backend", "b", {"url": "http://10.0.0.1", "healthChecks": {"active": {"type": "GRPC"}}})  # fmt: skip
        world = World(edge(), backend, to("Backend", "b"))
        assert world.verdict("Backend", "b") == (False, "Invalid")
        assert world.message("Backend", "b").startswith("spec.healthChecks.active.type: ")
        assert world.route.action.status == 502

    def test_every_cause_of_an_ejection_is_carried(self):
        passive = {
            "consecutiveGatewayErrors": 2,
            "consecutiveConnectFailures": 3,
            "failurePercentage": {"threshold": 4, "minimumRequests": 5, "minimumTargets": 6},
            "baseEjectionTime": "10s",
            "maxEjectionTime": "5s",
        }
        outliers = only(upstream(healthChecks={"passive": passive}), to()).outlier_detection
        assert outliers.consecutive_gateway_errors == 2
        assert outliers.consecutive_connect_failures == 3
        assert outliers.failure_share == FailureShare(4, 5, 6)
        assert outliers.max_ejection_ms == outliers.base_ejection_ms == 10_000


class TestConnections:
    def test_what_is_said_of_connections_is_carried(self):
        connection = {
            "idleTimeout": "1s",
            "maxDuration": "2s",
            "maxRequests": 3,
            "tcpKeepalive": {"idle": "1500ms", "interval": "1s", "probes": 4},
        }
        expected = Connections(1000, 2000, 3, Keepalive(2, 1, 4))
        assert only(upstream(connection=connection), to()).connections == expected
        backend = obj("Backend", "b", {"upstream": "u", "connection": connection})
        assert only(upstream(), backend, to("Backend", "b")).connections == expected

    def test_a_circuit_breaker_carries_its_budget_and_its_limit_for_one_target(self):
        breaker = {"maxConnectionsPerTarget": 7, "retryBudget": {"percent": 12.5}}
        expected = Thresholds(max_connections_per_host=7, retry_budget=RetryBudget(12.5, 3))
        assert only(upstream(circuitBreaker=breaker), to()).thresholds == expected

    def test_logical_resolution_takes_one_name(self):
        names = [{"host": f"{each}.example.com", "port": 1} for each in "ab"]
        world = World(edge(), upstream("u", *names, dns={"discovery": "Logical"}), to())
        assert world.verdict("Upstream", "u") == (False, "Invalid")
        spare = {**names[1], "weight": 0}
        assert only(
            upstream("u", names[0], spare, dns={"discovery": "Logical"}), to()
        ).resolution.logical

    def test_resolution_without_a_name_is_reported(self):
        world = World(edge(), upstream(dns={"refresh": "1m"}), to())
        assert world.verdict("Upstream", "u") == (True, "PartiallyAccepted")


class TestSockets:
    def test_a_socket_is_served_where_its_folder_is_open(self):
        cluster = only(upstream("u", SOCKET, A), to(), upstreamSockets=["/run/apps/"])
        assert [each.socket for each in cluster.endpoints] == ["/run/apps/a.sock", ""]

    @pytest.mark.parametrize("opened", [[], ["/run"], ["/run/apps/deeper"], ["/run/ap"]])
    def test_a_socket_elsewhere_closes_the_route_that_would_reach_it(self, opened):
        world = World(edge(upstreamSockets=opened), upstream("u", SOCKET), to())
        assert world.routes() == ()
        assert world.verdict("Route", "r") == (False, "Invalid")
        assert "/run/apps" in world.message("Route", "r")

    def test_a_copy_to_a_socket_is_a_way_to_it_too(self):
        copy = {"backend": {"kind": "Upstream", "name": "u"}}
        for field, value in (("mirror", copy), ("mirrors", [copy])):
            world = World(edge(), upstream("u", SOCKET), route(**{field: value}))
            assert world.routes() == ()

    def test_a_canary_at_a_socket_is_a_way_to_it_even_with_weight_0(self):
        canary = {"name": "u", "weight": 0, "header": {"name": "x"}}
        backend = obj("Backend", "b", {"url": "http://10.0.0.1", "canary": canary})
        world = World(edge(), upstream("u", SOCKET), backend, to("Backend", "b"))
        assert world.routes() == ()

    def test_a_connection_has_to_have_some_time(self):
        world = World(edge(), upstream(connectTimeout="0s"), to())
        assert world.verdict("Upstream", "u") == (False, "Invalid")
        assert "connectTimeout" in world.message("Upstream", "u")

    def test_a_path_too_long_for_a_socket_is_refused(self):
        host = "unix:///run/" + "a" * 104
        world = World(edge(upstreamSockets=["/run"]), upstream("u", {"host": host}), to())
        assert world.verdict("Upstream", "u") == (False, "Invalid")
        assert "107" in world.message("Upstream", "u")
