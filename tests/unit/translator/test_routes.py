"""Where a route goes, and what becomes of it when something is wrong."""

from __future__ import annotations

import pytest
from unit.translator.world import World, edge, obj, path, route

from fluxgate.ir import CredentialClass, DirectResponse, Forward, HashPolicy
from fluxgate.resources import Endpoint, ServiceEndpoints, ref_of
from fluxgate.translator import SetAside, TranslateOptions, spec_digest


def test_a_route_is_named_for_its_object_and_match():
    world = World(edge(), route(matches=[path("/a"), path("/b")]))
    assert [each.name for each in world.routes()] == ["route/default/r/0", "route/default/r/1"]


def test_header_names_are_lower_case_and_conditions_sorted():
    headers = [{"name": "X-B", "value": "1"}, {"name": "X-A", "type": "Present"}]
    world = World(edge(), route(matches=[path("/", headers=headers, credential="JWT")]))
    assert [each.name for each in world.route.match.headers] == ["x-a", "x-b"]
    assert world.route.match.credential is CredentialClass.JWT


def test_a_disabled_route_is_not_served():
    world = World(edge(), route(enabled=False))
    assert world.routes() == ()
    assert world.verdict("Route", "r") == (False, "Disabled")


def test_a_route_without_a_gateway_says_so():
    assert World(route()).verdict("Route", "r") == (False, "NoGateway")


def test_a_route_that_names_an_unknown_gateway_is_told_the_known_ones():
    world = World(edge(), route(gateways=["egde"]))
    assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotFound")
    assert "known: edge" in world.message("Route", "r", "ResolvedRefs")


def test_a_route_may_choose_its_listeners():
    two = edge(listeners=[{"name": "http", "port": 80}, {"name": "inner", "port": 81}])
    world = World(two, route(listeners=["inner"]))
    assert world.routes(listener="http") == ()
    assert len(world.routes(listener="inner")) == 1


def test_a_more_general_host_follows_on_every_host_it_covers():
    world = World(
        edge(),
        route("any"),
        route("wild", hosts=["*.example.com"]),
        route("exact", hosts=["a.example.com"]),
    )
    names = [each.name.split("/")[2] for each in world.routes("a.example.com")]
    assert names == ["exact", "wild", "any"]
    assert [each.name.split("/")[2] for each in world.routes("*.example.com")] == ["wild", "any"]


def test_a_higher_priority_of_a_general_host_comes_first():
    world = World(edge(), route("any", priority=1), route("exact", hosts=["a.example.com"]))
    assert [each.name.split("/")[2] for each in world.routes("a.example.com")] == ["any", "exact"]


class TestBackends:
    def test_a_missing_backend_leaves_the_route_in_place_with_502(self):
        world = World(edge(), route(backends=[{"name": "gone"}]))
        assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotFound")
        assert "spec.backends[0]: Backend default/gone does not exist" in world.message(
            "Route", "r", "ResolvedRefs"
        )
        assert isinstance(world.route.action, DirectResponse)
        assert world.route.action.status == 502

    def test_a_route_with_one_of_two_backends_sends_everything_there(self):
        backends = [{"name": "gone"}, {"url": "http://127.0.0.1:1"}]
        world = World(edge(), route(backends=backends))
        assert isinstance(world.route.action, Forward)
        assert len(world.route.action.destinations) == 1
        assert world.verdict("Route", "r") == (True, "PartiallyAccepted")

    def test_no_backend_at_all_is_invalid(self):
        world = World(edge(), route(backends=[]))
        assert world.verdict("Route", "r") == (False, "Invalid")
        assert world.route.action.status == 502

    def test_weights_may_be_0_but_not_all_of_them(self):
        one = {"url": "http://127.0.0.1:1", "weight": 0}
        world = World(edge(), route(backends=[one, {"url": "http://127.0.0.1:2", "weight": 3}]))
        assert [each.weight for each in world.route.action.destinations] == [1]
        missing = {"kind": "Upstream", "name": "missing"}
        none = World(edge(), route(backends=[one, missing]))
        assert none.verdict("Route", "r") == (False, "Invalid")
        assert "have weight 0" in none.message("Route", "r")
        assert none.route.action.status == 502

    def test_a_service_resolves_to_its_ready_endpoints(self):
        service = ServiceEndpoints("default", "s", {80: (Endpoint("10.0.0.1", 8080),)})
        backends = [{"kind": "Service", "name": "s", "port": 80}]
        (cluster,) = World(edge(), service, route(backends=backends)).gateway.clusters
        assert cluster.eds_name == "service/default/s:80"
        assert [(each.host, each.port) for each in cluster.endpoints] == [("10.0.0.1", 8080)]

    def test_a_missing_service_port_is_told_the_known_ones(self):
        service = ServiceEndpoints("default", "s", {80: ()})
        world = World(
            edge(), service, route(backends=[{"kind": "Service", "name": "s", "port": 81}])
        )
        assert "its ports: 80" in world.message("Route", "r", "ResolvedRefs")

    def test_a_missing_mirror_does_not_stop_the_route(self):
        world = World(edge(), route(mirror={"backend": {"name": "gone"}}))
        assert isinstance(world.route.action, Forward)
        assert world.route.action.mirrors == ()
        assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotFound")


class TestForwarding:
    @pytest.mark.parametrize(
        ("route_timeout", "backend_timeout", "gateway_timeout", "expected"),
        [
            (None, None, None, 30_000),
            (None, None, "4s", 4_000),
            (None, "3s", "4s", 3_000),
            ("2s", "3s", "4s", 2_000),
            ("0s", "3s", None, 0),
        ],
    )
    def test_the_nearest_timeout_counts(
        self, route_timeout, backend_timeout, gateway_timeout, expected
    ):
        def timeouts(value):
            return {"timeouts": {"request": value}} if value else {}

        world = World(
            edge(**timeouts(gateway_timeout)),
            obj("Backend", "b", {"url": "http://127.0.0.1:1", **timeouts(backend_timeout)}),
            route(backends=[{"name": "b"}], **timeouts(route_timeout)),
        )
        assert world.route.action.timeout_ms == expected

    def test_realtime_lifts_the_timeout_and_takes_the_key_from_the_query(self):
        world = World(edge(), route(realtime=True, auth={}, timeouts={"request": "1s"}))
        action = world.route.action
        assert (action.timeout_ms, action.websocket, action.idle_timeout_ms) == (0, True, 3_600_000)
        assert world.route.key_auth.query
        assert world.route.realtime

    def test_only_a_realtime_route_takes_the_key_from_the_query(self):
        assert not World(edge(), route(auth={})).route.key_auth.query

    def test_zero_attempts_mean_no_retries_whatever_the_gateway_says(self):
        world = World(edge(retry={"attempts": 3}), route(retry={"attempts": 0}))
        assert world.route.action.retry is None

    def test_the_maximum_back_off_is_never_below_the_base(self):
        world = World(edge(), route(retry={"backOff": {"base": "1s", "max": "10ms"}}))
        retry = world.route.action.retry
        assert (retry.back_off_base_ms, retry.back_off_max_ms) == (1000, 1000)

    def test_stickiness_of_the_upstream_becomes_the_hash_policy(self):
        balancing = {"policy": "RingHash", "hashOn": {"type": "Header", "name": "X-User"}}
        upstream = obj(
            "Upstream",
            "u",
            {"targets": [{"host": "127.0.0.1", "port": 1}], "loadBalancing": balancing},
        )
        world = World(edge(), upstream, route(backends=[{"kind": "Upstream", "name": "u"}]))
        assert world.route.action.hash_policy == HashPolicy(header="x-user")


class TestConflicts:
    OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"

    def test_the_older_route_keeps_the_match(self):
        world = World(
            edge(),
            route("a", created=self.NEW, matches=[path("/x")]),
            route("b", created=self.OLD, matches=[path("/x")]),
        )
        assert [each.origin.name for each in world.routes()] == ["b"]
        assert world.verdict("Route", "b") == (True, "Accepted")
        assert world.verdict("Route", "a") == (False, "Conflicted")
        assert "Prefix /x on host * is already claimed by Route default/b" in world.message(
            "Route", "a"
        )

    @pytest.mark.parametrize(
        ("first", "second", "why"),
        [
            (OLD, NEW, "which is older;"),
            (OLD, "", "which is older;"),
            (OLD, OLD, "which comes first by name;"),
            ("", "", "which comes first by name;"),
        ],
    )
    def test_who_lost_is_told_what_decided(self, first: str, second: str, why: str):
        world = World(edge(), route("a", created=first), route("b", created=second))
        assert why in world.message("Route", "b")

    def test_of_the_same_age_the_name_decides(self):
        world = World(edge(), route("b"), route("a"))
        assert world.verdict("Route", "b") == (False, "Conflicted")

    def test_another_priority_is_another_place(self):
        world = World(edge(), route("a"), route("b", priority=1))
        assert [each.origin.name for each in world.routes()] == ["b", "a"]

    def test_a_route_that_keeps_other_matches_stays_accepted_and_says_what_it_lost(self):
        world = World(
            edge(),
            route("a", created=self.OLD, matches=[path("/x")]),
            route("b", created=self.NEW, matches=[path("/x"), path("/y")]),
        )
        assert world.verdict("Route", "b") == (True, "Conflicted")
        assert "spec.matches[0]" in world.message("Route", "b")
        assert len(world.routes()) == 2

    def test_a_match_that_is_listed_twice_is_told_so(self):
        world = World(edge(), route(matches=[path("/x"), path("/x")]))
        assert "spec.matches[1]: Prefix /x on host * repeats spec.matches[0]" in world.message(
            "Route", "r"
        )

    def test_the_loser_brings_no_cluster_along(self):
        world = World(edge(), route("a"), route("b", backends=[{"url": "http://127.0.0.1:2"}]))
        assert [each.eds_name for each in world.gateway.clusters] == ["url/http://127.0.0.1:9000"]


class TestSetAside:
    def options(self, *objects, digest=None):
        return TranslateOptions(
            {ref_of(each): SetAside(digest or spec_digest(each), "bad regex") for each in objects}
        )

    def test_a_rejected_route_is_left_out_with_envoys_words(self):
        bad, good = route("bad", matches=[path("/x")]), route("good")
        world = World(edge(), bad, good, options=self.options(bad))
        assert [each.origin.name for each in world.routes()] == ["good"]
        assert world.verdict("Route", "bad", "Programmed") == (False, "EnvoyRejected")
        assert world.message("Route", "bad", "Programmed") == "bad regex"

    def test_a_repaired_object_comes_back(self):
        world = World(edge(), route(), options=self.options(route(), digest="of before"))
        assert len(world.routes()) == 1

    def test_what_refers_to_a_rejected_object_is_told_why(self):
        backend = obj("Backend", "b", {"url": "http://127.0.0.1:1"})
        world = World(
            edge(), backend, route(backends=[{"name": "b"}]), options=self.options(backend)
        )
        assert world.route.action.status == 502
        assert "Envoy rejected Backend default/b: bad regex" in world.message(
            "Route", "r", "ResolvedRefs"
        )

    def test_a_rejected_authentication_plugin_closes_its_routes(self):
        plugin = obj("Plugin", "p", {"type": "key-auth"})
        world = World(edge(), plugin, route(plugins=[{"name": "p"}]), options=self.options(plugin))
        assert world.route.action.status == 503


def test_asynchronous_routes_refuse_until_they_are_supported():
    world = World(edge(), route(**{"async": {}}))
    assert world.route.action.status == 503
    assert world.verdict("Route", "r") == (False, "UnsupportedType")


def test_a_route_for_two_hosts_that_cover_one_another_stands_where_the_more_specific_one_puts_it():
    both = route("both", hosts=["api.example.com", "*"])
    between = route("between", hosts=["*.example.com"])
    (table,) = World(edge(), both, between).gateway.route_tables
    tried = {
        each.host: [route.origin.name for route in each.routes] for each in table.virtual_hosts
    }
    assert tried == {
        "*": ["both"],
        "*.example.com": ["between", "both"],
        "api.example.com": ["both", "between"],
    }


LISTENERS = [{"name": name, "port": port} for port, name in enumerate("abcd", start=80)]


class TestTablesOfListeners:
    def tables(self, *routes) -> dict[str, str]:
        gateway = World(edge(listeners=LISTENERS), *routes).gateway
        assert {each.name for each in gateway.route_tables} == {
            each.route_table for each in gateway.listeners
        }
        return {each.name: each.route_table for each in gateway.listeners}

    def test_listeners_with_the_same_routes_share_one_table(self):
        assert set(self.tables(route("r")).values()) == {"edge"}

    def test_a_route_that_names_all_listeners_is_like_one_that_names_none(self):
        assert set(self.tables(route("r", listeners=list("abcd"))).values()) == {"edge"}

    def test_listeners_that_a_route_picks_get_a_table_of_their_own(self):
        assert self.tables(route("r"), route("s", listeners=["c", "b"])) == {
            "a": "edge",
            "b": "edge/b",
            "c": "edge/b",
            "d": "edge",
        }

    def test_every_listener_has_exactly_the_routes_that_want_it(self):
        world = World(
            edge(listeners=LISTENERS),
            route("all"),
            route("ab", matches=[path("/ab")], listeners=["a", "b"]),
            route("bc", matches=[path("/bc")], listeners=["b", "c"]),
        )
        served = {
            name: {each.origin.name for each in world.routes(listener=name)} for name in "abcd"
        }
        assert served == {
            "a": {"all", "ab"},
            "b": {"all", "ab", "bc"},
            "c": {"all", "bc"},
            "d": {"all"},
        }
