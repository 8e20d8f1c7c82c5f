"""Limits, quotas and bounds on keys, as translation leaves them in the IR."""

from __future__ import annotations

import itertools

import pytest
from unit.translator.world import PLAN, World, bundle, edge, key, obj, route

from fluxgate.ir.policies.rate_limit import (
    LimitBucket,
    QuotaUse,
    RateLimitServer,
    RouteLimits,
    SlotUse,
    TenantQuota,
)
from fluxgate.ir.policies.request_size import BodyLimit
from fluxgate.resources import ObjectRef, ResourceStore, ref_of
from fluxgate.translator import TranslateCache, translate
from fluxgate.xds.build import build_snapshot

SERVICE = {"url": "http://127.0.0.1:8081", "timeout": "20ms", "failureMode": "Closed"}
DAILY = {"name": "daily", "limit": 5}
EXACT = {"name": "monthly", "limit": 9, "window": "720h", "policy": "Redis"}


def limited(*uses: dict, **spec: object):
    plugins = [{"type": "rate-limit", "config": each} for each in uses]
    return route(plugins=plugins, **spec)


def on_route(world: World) -> RouteLimits:
    found = world.route.policy(RouteLimits)
    assert found is not None
    return found


class TestRateLimit:
    def test_a_limit_by_key_in_every_envoy_is_the_plan_of_the_route(self):
        world = World(edge(), limited({"requests": 5}))
        assert world.route.plan == "route/default/r/plugin/0"
        assert world.route.policy(RouteLimits) is None

    def test_a_second_limit_of_one_kind_takes_the_next_slot(self):
        more = [{"requests": 2, "window": "1s", "by": "IP"}] * 2
        world = World(edge(), limited({"requests": 5, "by": "IP", "limits": more}))
        keys = [slot for slot, _ in on_route(world).local]
        assert keys == ["address.0", "address.1", "address.2"]
        assert [each.slot.key for each in world.gateway.shared_of(SlotUse)] == keys

    def test_routes_of_one_plugin_share_a_bucket_whatever_slots_they_have(self):
        plugin = obj("Plugin", "p", {"type": "quota", "config": {"quotas": [DAILY]}})
        other = {"type": "rate-limit", "config": {"requests": 1, "by": "Tenant"}}
        one = route("one", matches=[{"path": {"value": "/one"}}], plugins=[{"name": "p"}])
        two = route("two", matches=[{"path": {"value": "/two"}}], plugins=[{"name": "p"}, other])
        world = World(edge(), plugin, one, two)
        names = [dict(each.policy(RouteLimits).local)["tenant.0"] for each in world.routes()]
        assert len(set(names)) == 1
        assert len(world.gateway.shared_of(LimitBucket)) == 2

    def test_a_route_as_a_whole_has_a_bucket_of_its_own(self):
        plugin = obj(
            "Plugin", "p", {"type": "rate-limit", "config": {"requests": 1, "by": "Route"}}
        )
        routes = [
            route(name, matches=[{"path": {"value": f"/{name}"}}], plugins=[{"name": "p"}])
            for name in ("one", "two")
        ]
        world = World(edge(), plugin, *routes)
        names = {dict(each.policy(RouteLimits).local)["route.0"] for each in world.routes()}
        assert len(names) == 2

    def test_appended_limits_all_hold(self):
        wide = {"type": "rate-limit", "config": {"limits": [{"requests": 9, "by": "IP"}]},
                "targets": [{"kind": "GatewayConfig", "name": "edge"}]}  # fmt: skip
        near = {"type": "rate-limit", "mergeStrategy": "Append",
                "config": {"limits": [{"requests": 3, "by": "Route"}]}}  # fmt: skip
        world = World(edge(), obj("Plugin", "wide", wide), route(plugins=[near]))
        assert [slot for slot, _ in on_route(world).local] == ["address.0", "route.0"]

    def test_two_policies_that_refuse_differently_do_not_go_together(self):
        quota = {"type": "quota", "config": {"quotas": [DAILY], "rejectedCode": 402}}
        limit = {"type": "rate-limit", "config": {"requests": 1, "rejectedCode": 503}}
        world = World(edge(), route(plugins=[quota, limit]))
        assert world.verdict("Route", "r") == (False, "Invalid")
        assert "config.rejectedCode: another limit" in world.message("Route", "r")

    def test_a_change_of_limits_changes_no_listener(self):
        before = build_snapshot(World(edge()).gateway)
        after = build_snapshot(
            World(edge(rateLimitService=SERVICE), limited({"requests": 1, "policy": "Redis"}))
            .gateway
        )  # fmt: skip
        listeners = [
            {name: each.version for name, each in snapshot.of_type(LISTENER).items()}
            for snapshot in (before, after)
        ]
        assert listeners[0] == listeners[1]


class TestService:
    def test_its_cluster_speaks_grpc_and_its_settings_are_the_gateways(self):
        world = World(edge(rateLimitService=SERVICE))
        (server,) = world.gateway.shared_of(RateLimitServer)
        assert (server.timeout_ms, server.closed) == (20, True)
        (cluster,) = [each for each in world.gateway.clusters if each.name == server.name]
        assert cluster.protocol == "GRPC"

    def test_without_it_redis_closes_the_route(self):
        world = World(edge(), limited({"requests": 1, "policy": "Redis"}))
        assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotFound")

    def test_a_plan_whose_window_becomes_odd_closes_the_route_that_redis_counts(self):
        plugin = limited({"plan": "demo", "policy": "Redis"})
        cache = TranslateCache()
        good = translate(bundle(edge(rateLimitService=SERVICE), plugin), cache=cache)
        assert good.statuses[ROUTE].accepted
        odd = edge(rateLimitService=SERVICE, plans=[PLAN | {"window": "5m"}])
        assert not translate(bundle(odd, plugin), cache=cache).statuses[ROUTE].accepted


LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = ObjectRef("Route", "default", "r")
METERED = {"name": "metered", "requests": 100, "quotas": [DAILY, EXACT]}


def tenant(name: str = "acme", **spec: object):
    return obj("Tenant", name, {"plan": "metered", **spec})


class TestQuotas:
    def test_a_tenant_has_those_of_its_plan_and_its_own_replace_them_by_name(self):
        world = World(
            edge(plans=[METERED], rateLimitService=SERVICE),
            tenant("a"),
            tenant("b", quotas=[DAILY | {"limit": 7}]),
            tenant("c", plan=None),
        )
        found = {
            each.name: (each.limit, each.exact) for each in world.gateway.shared_of(TenantQuota)
        }
        assert found == {
            "a/daily": (5, False),
            "a/monthly": (9, True),
            "b/daily": (7, False),
            "b/monthly": (9, True),
        }

    def test_every_route_counts_them_and_says_whose_it_is(self):
        world = World(
            edge(plans=[METERED], rateLimitService=SERVICE), tenant(), route(tenant="acme")
        )
        assert world.route.policy(QuotaUse) == QuotaUse("acme", local=True, exact=True)

    def test_where_nobody_has_one_no_route_counts_any(self):
        assert World(edge(), tenant(), route()).route.policy(QuotaUse) is None

    def test_without_the_service_every_envoy_counts_and_the_gateway_says_so(self):
        world = World(edge(plans=[METERED]), tenant(), route())
        assert world.route.policy(QuotaUse) == QuotaUse("", local=True, exact=False)
        assert not any(each.exact for each in world.gateway.shared_of(TenantQuota))
        assert world.verdict("GatewayConfig", "edge") == (True, "PartiallyAccepted")
        assert "spec.rateLimitService: quotas" in world.message("GatewayConfig", "edge")

    def test_routes_learn_of_the_first_quota_and_of_the_end_of_the_last(self):
        store, cache = ResourceStore(), TranslateCache()
        for each in (edge(), route()):
            store.upsert(each)
        for quotas in ([], [DAILY], []):
            store.upsert(obj("Tenant", "t", {"quotas": quotas}))
            gateway = translate(store.freeze(), cache=cache).gateways["edge"]
            (only,) = gateway.route_tables[0].virtual_hosts[0].routes
            assert (only.policy(QuotaUse) is not None) is bool(quotas)
            assert len(gateway.shared_of(TenantQuota)) == len(quotas)


def dated(name: str, day: int, **spec: object):
    made = key(name, "0123456789abcdef"[day], tenant="acme", **spec)
    metadata = made.metadata.model_copy(
        update={"creation_timestamp": f"2026-01-{day:02}T00:00:00Z"}
    )
    return made.model_copy(update={"metadata": metadata})


def valid(world: World) -> list[str]:
    return sorted(each.key_id.rpartition("/")[2] for each in world.gateway.api_keys.keys)


class TestMaxActiveKeys:
    @pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
    def test_the_oldest_stay_valid_in_whatever_order_they_came(self, order: tuple[int, ...]):
        keys = [dated(f"k{day}", day) for day in order]
        world = World(edge(), obj("Tenant", "acme", {"maxActiveKeys": 2}), *keys)
        assert valid(world) == ["k1", "k2"]
        assert world.verdict("ApiKey", "k3") == (False, "Disabled")
        assert "spec.maxActiveKeys" in world.message("ApiKey", "k3")
        assert world.verdict("ApiKey", "k2") == (True, "Accepted")

    def test_a_revoked_key_takes_no_place(self):
        keys = [dated("k1", 1, revoked=True), dated("k2", 2), dated("k3", 3)]
        world = World(edge(), obj("Tenant", "acme", {"maxActiveKeys": 2}), *keys)
        assert valid(world) == ["k2", "k3"]

    def test_none_means_none(self):
        world = World(edge(), obj("Tenant", "acme", {"maxActiveKeys": 0}), dated("k1", 1))
        assert valid(world) == []

    def test_keys_of_others_do_not_count(self):
        others = [key(f"o{digit}", digit) for digit in "abcdef"]
        world = World(edge(), obj("Tenant", "acme", {"maxActiveKeys": 1}), dated("k1", 1), *others)
        assert "k1" in valid(world)
        assert len(valid(world)) == 7

    def test_a_place_that_becomes_free_goes_to_the_next_and_back(self):
        store, cache = ResourceStore(), TranslateCache()
        keys = {day: dated(f"k{day}", day) for day in (1, 2, 3)}
        for each in (edge(), obj("Tenant", "acme", {"maxActiveKeys": 2}), *keys.values()):
            store.upsert(each)

        def accepted() -> list[str]:
            result = translate(store.freeze(), cache=cache)
            served = result.gateways["edge"].api_keys.keys
            names = sorted(each.key_id.rpartition("/")[2] for each in served)
            statuses = result.statuses.items()
            good = sorted(
                ref.name for ref, each in statuses if ref.kind == "ApiKey" and each.accepted
            )
            assert names == good
            return names

        assert accepted() == ["k1", "k2"]
        store.remove(ref_of(keys[1]))
        assert accepted() == ["k2", "k3"]
        store.upsert(keys[1])
        assert accepted() == ["k1", "k2"]
        store.upsert(obj("Tenant", "acme", {"maxActiveKeys": 1}))
        assert accepted() == ["k1"]
        store.upsert(obj("Tenant", "acme", {}))
        assert accepted() == ["k1", "k2", "k3"]


class TestBodies:
    def test_a_route_inherits_the_bound_of_its_gateway(self):
        world = World(edge(limits={"maxRequestBodyBytes": 10}), route())
        assert world.route.policy(BodyLimit) == BodyLimit(10, streams=False)

    def test_a_policy_of_its_own_replaces_it(self):
        plugins = [{"type": "request-size", "config": {"maxBytes": 99}}]
        world = World(
            edge(limits={"maxRequestBodyBytes": 10}), route(plugins=plugins, realtime=True)
        )
        assert world.route.policy(BodyLimit) == BodyLimit(99, streams=True)

    def test_without_either_there_is_none(self):
        assert World(edge(), route()).route.policy(BodyLimit) is None
