"""Which of several policies of one type counts, and what two of them make together."""

from __future__ import annotations

import pytest
from unit.translator.world import World, edge, obj, path, route

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1.policy import Cors
from fluxgate.ir import Forward
from fluxgate.ir.policies.ip_restriction import IpRestriction
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.merging import append
from fluxgate.translator.plugins.direct_response import DirectResponseConfig

TYPE = "ip-restriction"


def plugin(name: str, config: dict, *targets: tuple[str, str], kind: str = TYPE, **fields: object):
    listed = [{"kind": target, "name": of} for target, of in targets]
    metadata = {key: fields.pop(key) for key in ("namespace", "creationTimestamp") if key in fields}
    spec = {"type": kind, "config": config, "targets": listed, **fields}
    return obj("Plugin", name, spec, **metadata)


def blocks(*last: int) -> list[str]:
    """CIDR blocks that tell scopes apart."""
    return [f"10.{each}.0.0/16" for each in last]


GATEWAY, TENANT, BACKEND = ("GatewayConfig", "edge"), ("Tenant", "t"), ("Backend", "b")
ROUTE = ("Route", "r")
SCOPES = (GATEWAY, TENANT, BACKEND, ROUTE)
APPEND = {"mergeStrategy": "Append"}


def world(*plugins: object, **spec: object) -> World:
    """A route of a tenant to a Backend, and these Plugins."""
    return World(
        edge(),
        obj("Tenant", "t"),
        obj("Backend", "b", {"url": "http://127.0.0.1:1"}),
        *plugins,
        route(tenant="t", backends=[{"name": "b"}], auth={"mode": "None"}, **spec),
    )


def allowed(of: World) -> tuple[str, ...]:
    """What the one policy of the route allows."""
    found = of.route.policy(IpRestriction)
    assert found is not None
    return tuple(found.allow)


def links(of: World, kind: str = TYPE) -> list[tuple[str, list[str]]]:
    """Source and continued ones of a type in the route's chain."""
    return [
        (each.source.name, [wider.name for wider in each.appended_to])
        for each in of.route.chain
        if each.type == kind
    ]


class TestReplace:
    @pytest.mark.parametrize("present", [1, 2, 3, 4])
    def test_the_nearest_scope_counts_and_it_alone(self, present: int):
        plugins = [plugin(f"p{n}", {"allow": blocks(n)}, SCOPES[n]) for n in range(present)]
        found = world(*plugins)
        assert allowed(found) == tuple(blocks(present - 1))
        assert links(found) == [(f"p{present - 1}", [])]

    def test_what_the_route_lists_is_nearer_than_what_targets_it(self):
        target = plugin("p", {"allow": blocks(1)}, ROUTE)
        found = world(target, plugins=[{"type": TYPE, "config": {"allow": blocks(2)}}])
        assert allowed(found) == tuple(blocks(2))
        assert links(found) == [("r", [])]

    def test_within_a_scope_the_older_counts_then_the_name(self):
        young = plugin("a", {"allow": blocks(1)}, ROUTE, creationTimestamp="2026-02-01T00:00:00Z")
        old = plugin("z", {"allow": blocks(2)}, ROUTE, creationTimestamp="2026-01-01T00:00:00Z")
        assert allowed(world(young, old)) == tuple(blocks(2))
        assert allowed(world(plugin("b", {"allow": blocks(3)}, ROUTE), plugin("c", {}, ROUTE))) == (
            tuple(blocks(3))
        )

    def test_types_do_not_touch_each_other(self):
        near = plugin("near", {"allowOrigins": ["https://a.example.com"]}, ROUTE, kind="cors")
        found = world(near, plugin("wide", {"allow": blocks(1)}, GATEWAY))
        assert allowed(found) == tuple(blocks(1))
        assert found.route.cors is not None
        assert [each.type for each in found.route.chain] == ["cors", TYPE, "key-auth"]

    def test_the_second_of_a_type_in_a_route_is_said_not_to_count(self):
        uses = [{"type": TYPE, "config": {"allow": blocks(n)}} for n in (1, 2)]
        found = world(plugins=uses)
        assert allowed(found) == tuple(blocks(1))
        assert "spec.plugins[1]: the type 'ip-restriction' is listed before" in found.message(
            "Route", "r"
        )

    def test_a_type_that_a_route_switches_off_is_off_whatever_is_farther_away(self):
        use = {"type": TYPE, "enabled": False}
        found = world(plugin("p", {"allow": blocks(1)}, GATEWAY, ROUTE), plugins=[use])
        assert found.route.policy(IpRestriction) is None
        assert links(found) == []

    def test_a_plugin_that_is_switched_off_lets_the_next_one_count(self):
        off = plugin("near", {"allow": blocks(1)}, ROUTE, enabled=False)
        assert allowed(world(off, plugin("wide", {"allow": blocks(2)}, GATEWAY))) == (
            tuple(blocks(2))
        )


class TestAppend:
    def test_lists_grow_from_the_widest_scope_to_the_nearest(self):
        plugins = [
            plugin(f"p{n}", {"allow": blocks(n)}, scope, **APPEND) for n, scope in enumerate(SCOPES)
        ]
        found = world(*plugins)
        assert allowed(found) == tuple(blocks(0, 1, 2, 3))
        assert links(found) == [("p3", ["p2", "p1", "p0"])]

    def test_what_a_route_lists_continues_too(self):
        use = {"type": TYPE, "config": {"allow": blocks(9)}, **APPEND}
        found = world(plugin("wide", {"allow": blocks(1)}, GATEWAY), plugins=[use])
        assert allowed(found) == tuple(blocks(1, 9))
        assert links(found) == [("r", ["wide"])]

    def test_the_first_that_says_replace_ends_it(self):
        found = world(
            plugin("near", {"allow": blocks(3)}, ROUTE, **APPEND),
            plugin("middle", {"allow": blocks(2)}, TENANT),
            plugin("wide", {"allow": blocks(1)}, GATEWAY, **APPEND),
        )
        assert allowed(found) == tuple(blocks(2, 3))
        assert links(found) == [("near", ["middle"])]

    def test_with_nothing_to_continue_it_stands_alone(self):
        found = world(plugin("p", {"allow": blocks(1)}, ROUTE, **APPEND))
        assert allowed(found) == tuple(blocks(1))
        assert links(found) == [("p", [])]

    def test_an_entry_of_both_lists_stands_there_once(self):
        found = world(
            plugin("near", {"allow": blocks(2, 1)}, ROUTE, **APPEND),
            plugin("wide", {"allow": blocks(1)}, GATEWAY),
        )
        assert allowed(found) == tuple(blocks(1, 2))

    def test_values_that_do_not_fit_together_close_the_route_and_name_the_field(self):
        origins = {"allowOrigins": ["https://a.example.com"]}
        wide = plugin("wide", {"plan": "demo"}, GATEWAY, kind="rate-limit")
        near = plugin("near", {"requests": 5}, ROUTE, kind="rate-limit", **APPEND)
        found = world(near, wide, plugin("other", origins, ROUTE, kind="cors"))
        assert not isinstance(found.route.action, Forward)
        message = found.message("Route", "r", "ResolvedRefs")
        assert "Plugin default/near is not usable: mergeStrategy Append: config" in message
        assert "at most one of plan and requests" in message
        assert links(found, "rate-limit") == []

    def test_a_broken_one_that_would_be_continued_closes_the_route(self):
        found = world(
            plugin("near", {"allow": blocks(1)}, ROUTE, **APPEND),
            plugin("wide", {"allowed": blocks(2)}, GATEWAY),
        )
        assert not isinstance(found.route.action, Forward)
        assert "Plugin default/wide is not usable" in found.message("Route", "r", "ResolvedRefs")

    def test_a_broken_one_behind_the_one_that_counts_does_no_harm(self):
        found = world(
            plugin("near", {"allow": blocks(1)}, ROUTE),
            plugin("wide", {"allowed": blocks(2)}, GATEWAY),
        )
        assert allowed(found) == tuple(blocks(1))

    def test_two_that_do_not_fit_are_left_out_where_a_route_is_as_safe_without(self):
        wide = plugin("wide", {"allowOrigins": ["*"]}, GATEWAY, kind="cors")
        near = plugin("near", {"allowCredentials": True, "allowOrigins": ["https://a.example.com"]},
                      ROUTE, kind="cors", **APPEND)  # fmt: skip
        found = world(near, wide)
        assert isinstance(found.route.action, Forward)
        assert found.route.cors is None
        assert "browsers refuse credentials together with any origin" in found.message(
            "Route", "r", "ResolvedRefs"
        )


class TestNamespaces:
    """Names in a config are of its owner's namespace, so they cannot be carried to another."""

    def placed(self, *, wide_names_a_secret: bool, near_namespace: str) -> World:
        secret = {"bypass": {"header": {"name": "x-pass", "secretRef": {"name": "pass"}}}}
        wide = plugin("wide", secret if wide_names_a_secret else {"message": "Closed."}, GATEWAY,
                      kind="request-termination")  # fmt: skip
        near = plugin("near", {"status": 503}, ("Route", "r"), kind="request-termination",
                      namespace=near_namespace, **APPEND)  # fmt: skip
        secret_object = {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pass", "namespace": "default"},
            "data": {"value": "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="},
        }  # fmt: skip
        return World(
            edge(),
            parse_object(secret_object),
            wide,
            near,
            route(namespace=near_namespace, matches=[path("/")]),
        )

    def test_a_policy_that_names_a_secret_is_not_continued_from_another_namespace(self):
        found = self.placed(wide_names_a_secret=True, near_namespace="team")
        assert not isinstance(found.route.action, Forward)
        reason = found.condition("Route", "r", "ResolvedRefs", namespace="team")
        assert (reason.status, str(reason.reason)) == (False, "RefNotPermitted")
        assert "no policy of another namespace can continue it; use Replace" in reason.message

    def test_one_that_names_nothing_is(self):
        found = self.placed(wide_names_a_secret=False, near_namespace="team")
        assert [each.source.namespace for each in found.route.chain] == ["team"]
        assert [[str(each) for each in link.appended_to] for link in found.route.chain] == [
            ["Plugin default/wide"]
        ]


class TestValues:
    def test_the_nearer_decides_what_it_sets_and_the_wider_the_rest(self):
        near = Cors(max_age="1h")
        wide = Cors(allow_origins=("https://a.example.com",), max_age="2h", allow_credentials=True)
        assert append(near, wide) == Cors(
            allow_origins=("https://a.example.com",), max_age="1h", allow_credentials=True
        )

    def test_a_default_is_not_something_that_is_set(self):
        wide = Cors(allow_methods=("GET",))
        assert append(Cors(), wide).allow_methods == ("GET",)

    def test_a_value_set_to_its_default_is_set(self):
        assert append(Cors(max_age="10m"), Cors(max_age="1h")).max_age == "10m"

    def test_maps_have_the_entries_of_both_and_the_nearer_decides_about_common_ones(self):
        near = DirectResponseConfig(status=200, headers={"x-a": "near", "x-b": "near"})
        wide = DirectResponseConfig(status=404, headers={"x-b": "wide", "x-c": "wide"})
        merged = append(near, wide)
        assert merged.status == 200
        assert merged.headers == {"x-a": "near", "x-b": "near", "x-c": "wide"}

    def test_rules_hold_for_what_comes_out(self):
        near = Cors(allow_origins=("https://a.example.com",), allow_credentials=True)
        with pytest.raises(PolicyError, match=r"mergeStrategy Append: config\.allowCredentials"):
            append(near, Cors(allow_origins=("*",)))


class TestDefaults:
    def test_a_gateways_cors_is_in_the_chain(self):
        found = World(edge(cors={}), route())
        assert [(each.type, str(each.source)) for each in found.route.chain] == [
            ("cors", "GatewayConfig default/edge")
        ]

    def test_a_tenants_origins_are_nearer(self):
        tenant = obj("Tenant", "t", {"corsOrigins": ["https://app.example.com"]})
        found = World(edge(cors={}), tenant, route(tenant="t"))
        assert {str(link.source) for each in found.routes() for link in each.chain} == {
            "Tenant default/t"
        }
