"""How a pool's targets share requests: every policy, stickiness, zones, slow start, breakers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.documents import Documents, gateway, obj
from support.envoy import eventually
from support.fleet import Fleet, ask, same, tally

pytestmark = pytest.mark.envoy
MANY = 3000
HASH = {"type": "Header", "name": "x-user"}


def pool(name: str, targets: list, policy: str = "RoundRobin", /, **spec: Any) -> list[dict]:
    balancing = {"policy": policy, **spec.pop("loadBalancing", {})}
    written = {"targets": targets, "loadBalancing": balancing, **spec}
    matches = [{"path": {"value": f"/{name}"}}]
    to = [{"kind": "Upstream", "name": name}]
    return [
        obj("Upstream", name, written),
        obj("Route", name, {"matches": matches, "backends": to}),
    ]


def in_zones(fleet: Fleet, **zones: str) -> list[dict]:
    return [{**fleet[member].target, "zone": zone} for member, zone in zones.items()]


def weighted(fleet: Fleet, **weights: int) -> list[dict]:
    return [{**fleet[member].target, "weight": weight} for member, weight in weights.items()]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet("a", "b", "c", "d") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def served(fleet: Fleet) -> Iterator[Documents]:
    everybody = fleet.targets()
    cookie = {"type": "Cookie", "name": "sid", "cookieTtl": "1h"}
    session = {"type": "Cookie", "name": "sid", "cookieTtl": "0s"}
    zones = in_zones(fleet, a="x", b="y", c="y", d="z")
    documents = [
        gateway(),
        *pool("turns", weighted(fleet, a=3, b=1, c=0)),
        *pool("least", everybody, "LeastRequest", loadBalancing={"choices": 4}),
        *pool("chance", everybody, "Random"),
        *pool("ring", everybody, "RingHash", loadBalancing={"hashOn": HASH, "ringSize": 4096}),
        *pool("maglev", everybody, "Maglev", loadBalancing={"hashOn": HASH}),
        *pool("address", everybody, "Maglev", loadBalancing={"hashOn": {"type": "SourceIP"}}),
        *pool("cookie", everybody, "RingHash", loadBalancing={"hashOn": cookie}),
        *pool("session", everybody, "Maglev", loadBalancing={"hashOn": session}),
        *pool("bounded", everybody, "RingHash", loadBalancing={"hashOn": HASH, "maxLoadPercent": 125}),
        *pool("shares", zones, zones=[{"name": "x", "weight": 6}, {"name": "y", "weight": 3}, {"name": "z", "weight": 1}]),
        *pool("failover", zones, zones=[{"name": "y", "priority": 1}, {"name": "z", "priority": 2}]),
        *pool("second", [zones[1], {**zones[0], "health": "Unhealthy"}], zones=[{"name": "y", "priority": 1}]),
        *pool("slow", everybody, "RoundRobin", loadBalancing={"slowStart": {"window": "1s", "minWeightPercent": 5}}),
    ]  # fmt: skip
    with Documents(*documents) as served:
        yield served


def users(path: str, count: int = 400) -> list:
    return [(path, (("x-user", f"user-{number}"),)) for number in range(count)]


def test_weights_are_kept_exactly_in_turn_and_zero_takes_nothing(served: Documents) -> None:
    assert tally(ask(served.port, same(400, "/turns"))) == {"a": 300, "b": 100}


@pytest.mark.parametrize("path", ["/least", "/chance", "/slow"])
def test_equal_targets_get_equal_shares(served: Documents, path: str) -> None:
    found = tally(ask(served.port, same(MANY, path)))
    # binomial, n = 3,000, p = 0.25: standard deviation 23.7; six of them either way
    assert all(608 <= found[name] <= 892 for name in "abcd"), found


@pytest.mark.parametrize("path", ["/ring", "/maglev"])
def test_a_hash_of_a_header_keeps_every_user_on_one_target(served: Documents, path: str) -> None:
    rounds = [[each.upstream for each in ask(served.port, users(path))] for _ in range(5)]
    assert all(each == rounds[0] for each in rounds)
    assert set(rounds[0]) == set("abcd")


def test_a_hash_of_the_address_keeps_a_client_on_one_target(served: Documents) -> None:
    assert len(tally(ask(served.port, same(200, "/address")))) == 1


@pytest.mark.parametrize(("path", "ends"), [("/cookie", "Max-Age=3600"), ("/session", "HttpOnly")])
def test_the_gateway_sets_the_cookie_that_keeps_a_client(
    served: Documents, path: str, ends: str
) -> None:
    for _ in range(10):
        (first,) = ask(served.port, [(path, ())])
        (cookie,) = first.cookies
        assert cookie.startswith("sid=")
        assert ends in cookie
        assert ("Max-Age" in cookie) == ("Max-Age" in ends)
        kept = ask(served.port, same(100, path, ("cookie", cookie.partition(";")[0])))
        assert tally(kept) == {first.upstream: 100}
        assert all(not each.cookies for each in kept)


def test_zones_share_by_their_own_weights(served: Documents) -> None:
    found = tally(ask(served.port, same(MANY, "/shares")))
    # binomial, n = 3,000, p = 0.6, 0.15, 0.15, 0.1: six standard deviations either way
    assert 1639 <= found["a"] <= 1961, found
    assert all(332 <= found[name] <= 568 for name in "bc"), found
    assert 201 <= found["d"] <= 399, found


def test_a_zone_of_lower_rank_waits_until_the_first_has_no_target(served: Documents) -> None:
    assert tally(ask(served.port, same(100, "/failover"))) == {"a": 100}
    assert tally(ask(served.port, same(100, "/second"))) == {"b": 100}


def test_a_bounded_load_still_keeps_a_user_while_nobody_is_overloaded(served: Documents) -> None:
    once = [each.upstream for each in ask(served.port, users("/bounded", 100))]
    again = [each.upstream for each in ask(served.port, users("/bounded", 100))]
    assert once == again


def test_requests_stay_in_the_zone_of_their_envoy_while_it_has_targets() -> None:
    with Fleet("near", "far") as fleet:
        targets = in_zones(fleet, near="x", far="y")
        check = {"active": {"interval": "50ms", "unhealthyThreshold": 1, "healthyThreshold": 1}}
        documents = [gateway()]
        for policy in ("RoundRobin", "LeastRequest", "Random"):
            near = {"loadBalancing": {"zoneAware": {}}, "healthChecks": check}
            documents += pool(policy.lower(), targets, policy, **near)
        with Documents(*documents, zone="x") as served:
            for name in ("roundrobin", "leastrequest", "random"):
                assert tally(ask(served.port, same(100, f"/{name}"))) == {"near": 100}
            fleet.stop("near")
            for name in ("roundrobin", "leastrequest", "random"):
                eventually(
                    lambda name=name: tally(ask(served.port, same(20, f"/{name}"))) == {"far": 20},
                    what="the other zone takes over",
                )


def test_an_envoy_without_a_zone_uses_all_targets() -> None:
    with Fleet("near", "far") as fleet:
        targets = in_zones(fleet, near="x", far="y")
        near = {"loadBalancing": {"zoneAware": {}}}
        with Documents(gateway(), *pool("r", targets, "RoundRobin", **near)) as served:
            assert set(tally(ask(served.port, same(100, "/r")))) == {"near", "far"}


def test_a_target_that_comes_back_begins_with_a_small_share_that_grows() -> None:
    quick = {"interval": "50ms", "unhealthyThreshold": 1, "healthyThreshold": 1}
    slow = {"slowStart": {"window": "4s", "minWeightPercent": 5}}
    with Fleet("a", "b") as fleet:
        fleet["b"].status = 500
        targets = pool("u", fleet.targets(), loadBalancing=slow, healthChecks={"active": quick})
        with Documents(gateway(), *targets) as served:
            over = time.monotonic() + 4.0
            eventually(lambda: time.monotonic() > over, what="the window of the other is over")
            fleet["b"].status = 200
            shares: list[int] = []

            def grown() -> bool:
                if share := tally(ask(served.port, same(200, "/u")))["b"]:
                    shares.append(share)
                return bool(shares) and shares[-1] >= 90

            eventually(grown, what="b has its whole share")
    # its weight is below a half for the first two seconds: at most a third of the requests
    assert shares[0] <= 67, shares
