"""Who gets a route's requests: shares, canaries on demand, stickiness, copies, attempts."""

from __future__ import annotations

import re

import pytest
from unit.translator.world import World, edge, obj, path, route

from fluxgate.ir import Forward, HashPolicy, StickyCookie, ValueKind, ValueMatch
from fluxgate.xds.build import build_snapshot

TWO = [{"kind": "Upstream", "name": "a"}, {"kind": "Upstream", "name": "b"}]

RETRY = {"perTryTimeout": "1s", "perTryIdleTimeout": "2s", "hedge": True}


def pools(**more: dict):
    return [
        obj("Upstream", name, {"targets": [{"host": "10.0.0.1", "port": 1}], **more.get(name, {})})
        for name in "ab"
    ]


def backend(**canary: object):
    return obj("Backend", "x", {"upstream": "a", "canary": {"name": "b", "weight": 10, **canary}})


def served(*objects, **spec: object) -> Forward:
    spec.setdefault("backends", [{"name": "x"}])
    return World(edge(), *pools(), *objects, route(**spec)).route.action


def pool(cluster: str) -> str:
    return cluster.split("/")[2]


class TestCanary:
    def test_who_asks_for_it_comes_before_the_shares(self):
        forward = served(
            backend(header={"name": "X-Canary"}, cookie={"name": "beta", "value": "1"})
        )
        assert [pool(each.cluster) for each in forward.overrides] == ["b", "b"]
        assert forward.overrides[0].headers == (ValueMatch("x-canary", ValueKind.PRESENT),)
        assert forward.overrides[1].headers[0].name == "cookie"
        assert [(pool(each.cluster), each.weight) for each in forward.destinations] == [
            ("a", 9),
            ("b", 1),
        ]

    def test_without_a_share_it_is_still_there_for_those_who_ask(self):
        world = World(
            edge(),
            *pools(),
            backend(weight=0, header={"name": "x"}),
            route(backends=[{"name": "x"}]),
        )
        assert {pool(each.name) for each in world.gateway.clusters} == {"a", "b"}
        build_snapshot(world.gateway)

    def test_a_backend_without_weight_gives_its_canary_to_nobody(self):
        forward = served(
            backend(header={"name": "x"}), backends=[{"name": "x", "weight": 0}, TWO[0]]
        )
        assert forward.overrides == ()

    def test_a_circuit_breaker_of_the_route_guards_it_too(self):
        guarded = served(backend(weight=0, header={"name": "x"}), circuitBreaker={"maxRequests": 1})
        plain = served(backend(weight=0, header={"name": "x"}))
        assert guarded.overrides[0].cluster != plain.overrides[0].cluster


class TestSticky:
    def test_a_cookie_marks_every_destination_and_leads_back_to_it(self):
        forward = served(backends=TWO, sticky={"name": "side", "cookieTtl": "1500ms"})
        assert forward.sticky_cookie == StickyCookie("side", 2)
        marks = [each.mark for each in forward.destinations]
        assert len(set(marks)) == 2
        assert [each.cluster for each in forward.overrides] == [
            each.cluster for each in forward.destinations
        ]
        assert all(
            mark in over.headers[0].value
            for mark, over in zip(marks, forward.overrides, strict=True)
        )
        assert not forward.choose_by_hash

    def test_marks_outlive_new_settings_of_a_pool(self):
        def marks(**more: dict) -> list[str]:
            objects = [edge(), *pools(**more), route(backends=TWO, sticky={"name": "s"})]
            return [each.mark for each in World(*objects).route.action.destinations]

        assert marks() == marks(a={"connectTimeout": "1s"})

    def test_one_pool_under_two_settings_has_two_marks(self):
        other = obj("Backend", "y", {"upstream": "a", "protocol": "HTTP2"})
        forward = served(other, backends=[TWO[0], {"name": "y"}], sticky={"name": "s"})
        assert len({each.mark for each in forward.destinations}) == 2

    @pytest.mark.parametrize(
        ("sticky", "hashed"),
        [
            ({"type": "Header", "name": "X-User"}, HashPolicy(header="x-user")),
            ({"type": "SourceIP"}, HashPolicy(source_ip=True)),
        ],
    )
    def test_a_hash_chooses_where_there_is_no_cookie(self, sticky, hashed):
        forward = served(backends=TWO, sticky=sticky)
        assert (forward.choose_by_hash, forward.hash_policy) == (True, hashed)
        assert forward.sticky_cookie is None
        assert forward.overrides == ()

    def test_the_canarys_stickiness_counts_where_the_route_has_none(self):
        sticky = backend(sticky={"name": "canary"})
        assert served(sticky).sticky_cookie == StickyCookie("canary")
        assert served(sticky, sticky={"name": "route"}).sticky_cookie == StickyCookie("route")

    def test_with_one_destination_there_is_nothing_to_stick_to(self):
        forward = served(backend(weight=0, sticky={"name": "s"}))
        assert (forward.sticky_cookie, forward.overrides) == (None, ())

    def test_a_pools_own_hash_that_cannot_count_is_reported(self):
        hashed = {"loadBalancing": {"policy": "Maglev", "hashOn": {"type": "Header", "name": "x"}}}
        world = World(edge(), *pools(a=hashed), route(backends=TWO, sticky={"type": "SourceIP"}))
        assert world.verdict("Route", "r") == (True, "PartiallyAccepted")
        assert "hashOn" in world.message("Route", "r")


class TestCopies:
    def test_every_copy_goes_to_its_backend(self):
        copies = [{"backend": each, "percent": 5} for each in TWO]
        forward = served(mirror={"backend": TWO[0]}, mirrors=copies, backends=TWO[:1])
        assert [(pool(each.cluster), each.percent) for each in forward.mirrors] == [
            ("a", 100),
            ("a", 5),
            ("b", 5),
        ]

    def test_a_copy_to_nowhere_is_left_out_and_named(self):
        world = World(
            edge(), *pools(), route(backends=TWO, mirrors=[{"backend": {"name": "gone"}}])
        )
        assert world.route.action.mirrors == ()
        assert world.message("Route", "r", "ResolvedRefs").startswith("spec.mirrors[0].backend: ")


class TestAttempts:
    def test_what_is_said_of_attempts_is_carried(self):
        retry = served(backends=TWO, retry=RETRY).retry
        assert (retry.per_try_timeout_ms, retry.per_try_idle_timeout_ms) == (1000, 2000)
        assert retry.hedge
        assert retry.another_host
        assert not served(backends=TWO, retry={"anotherTarget": False}).retry.another_host

    def test_an_attempt_of_a_realtime_route_takes_as_long_as_it_takes(self):
        retry = served(backends=TWO, retry=RETRY, realtime=True).retry
        assert (retry.per_try_timeout_ms, retry.per_try_idle_timeout_ms, retry.hedge) == (
            0,
            0,
            False,
        )


@pytest.mark.parametrize(
    ("match", "matching", "other"),
    [
        ({"value": "gold"}, ["tier=gold", "a=b; tier=gold; c=d", "a=b,tier=gold"], ["tier=golden", "xtier=gold"]),
        ({"type": "Present"}, ["tier=", "tier=x; a=b"], ["tier", "a=tier=1"]),
        ({"type": "Regex", "value": "[0-9]|x.*"}, ["tier=1", "tier=xyz; a=b"], ["tier=a", "tier=12"]),
        ({"value": "1+1."}, ["tier=1+1."], ["tier=11x"]),
    ],
)  # fmt: skip
def test_a_cookie_is_one_of_many_in_its_header(match, matching, other):
    wanted = path("/") | {"cookies": [{"name": "tier", **match}]}
    (header,) = World(edge(), route(matches=[wanted])).route.match.headers
    assert all(re.fullmatch(header.value, each) for each in matching)
    assert not any(re.fullmatch(header.value, each) for each in other)
