"""Shares, canaries, stickiness and copies, counted on thousands of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.documents import Documents, gateway, obj
from support.envoy import eventually
from support.fleet import Answered, Fleet, ask, same, tally

pytestmark = pytest.mark.envoy
MANY = 10_000


def upstream(name: str, fleet: Fleet, *members: str, **spec: Any) -> dict:
    return obj("Upstream", name, {"targets": fleet.targets(*members or (name,)), **spec})


def backend(name: str, **canary: Any) -> dict:
    return obj("Backend", name, {"upstream": "stable", "canary": {"name": "next", **canary}})


def route(name: str, *backends: dict, **spec: Any) -> dict:
    listed = list(backends) or [{"name": name}]
    return obj(
        "Route", name, {"matches": [{"path": {"value": f"/{name}"}}], "backends": listed, **spec}
    )


BY_COOKIE = {
    "matches": [{"path": {"value": "/tiers"}, "cookies": [{"name": "tier", "value": "gold"}]}]
}
BOTH = ({"kind": "Upstream", "name": "stable", "weight": 3}, {"kind": "Upstream", "name": "next"})
STABLE = {"kind": "Upstream", "name": "stable"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet("stable", "next", "first", "second") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def served(fleet: Fleet) -> Iterator[Documents]:
    documents = (
        gateway(),
        *(upstream(name, fleet) for name in fleet.members),
        backend("tenth", weight=10),
        backend("asked", weight=0, header={"name": "X-Canary", "value": "always"}, cookie={"name": "beta"}),
        backend("kept", weight=10, sticky={"name": "side"}),
        backend("hashed", weight=10, sticky={"type": "Header", "name": "x-user"}),
        *(route(name) for name in ("tenth", "asked", "kept", "hashed")),
        route("shares", *BOTH, sticky={"name": "side", "cookieTtl": "1h"}),
        route("addresses", *BOTH, sticky={"type": "SourceIP"}),
        obj("Route", "gold", {**BY_COOKIE, "backends": [BOTH[1]]}),
        route("tiers", STABLE),
        route("copied", STABLE, mirror={"backend": {"kind": "Upstream", "name": "first"}},
              mirrors=[{"backend": {"kind": "Upstream", "name": "second"}},
                       {"backend": {"kind": "Upstream", "name": "next"}, "percent": 25}]),
    )  # fmt: skip
    with Documents(*documents) as served:
        yield served


def one(served: Documents, path: str, *headers: tuple[str, str]) -> Answered:
    return ask(served.port, [(path, headers)])[0]


def test_a_canary_gets_its_tenth_within_one_percent(served: Documents) -> None:
    found = tally(ask(served.port, same(MANY, "/tenth")))
    assert found.total() == MANY
    # binomial, n = 10,000, p = 0.1: standard deviation 30; 3.3 of them are the one percent
    assert 900 <= found["next"] <= 1100


def test_who_asks_for_the_canary_by_header_gets_it_and_nobody_else(served: Documents) -> None:
    assert tally(ask(served.port, same(200, "/asked"))) == {"stable": 200}
    assert tally(ask(served.port, same(200, "/asked", ("x-canary", "always")))) == {"next": 200}
    assert tally(ask(served.port, same(20, "/asked", ("x-canary", "never")))) == {"stable": 20}


@pytest.mark.parametrize(
    ("cookie", "goes_to"),
    [
        ("beta=1", "next"),
        ("a=1; beta=; c=2", "next"),
        ("a=1;beta=x", "next"),
        ("beta", "stable"),
        ("notbeta=1", "stable"),
        ("a=beta=1", "stable"),
    ],
)
def test_who_asks_for_the_canary_by_cookie_gets_it(
    served: Documents, cookie: str, goes_to: str
) -> None:
    assert one(served, "/asked", ("cookie", cookie)).upstream == goes_to


@pytest.mark.parametrize(
    ("cookies", "goes_to"),
    [
        (["tier=gold"], "next"),
        (["a=b; tier=gold"], "next"),
        (["a=b", "tier=gold"], "next"),
        (["tier=golden"], "stable"),
        (["tier=silver"], "stable"),
        ([], "stable"),
    ],
)
def test_a_route_matches_one_cookie_among_others(
    served: Documents, cookies: list[str], goes_to: str
) -> None:
    pairs = [("cookie", each) for each in cookies]
    assert one(served, "/tiers", *pairs).upstream == goes_to


@pytest.mark.parametrize("path", ["/kept", "/shares"])
def test_a_client_stays_on_the_side_its_cookie_names(served: Documents, path: str) -> None:
    first = ask(served.port, same(1000, path))
    assert set(tally(first)) == {"stable", "next"}
    assert all(len(each.cookies) == 1 for each in first)
    sides = {each.upstream: each.cookies[0].partition(";")[0] for each in first}
    assert len({each.cookies[0].partition(";")[0] for each in first}) == 2
    for side, cookie in sides.items():
        again = ask(served.port, same(MANY // 2, path, ("cookie", f"other=1; {cookie}")))
        assert tally(again) == {side: MANY // 2}
        assert all(not each.cookies for each in again)


def test_the_sticky_cookie_lives_as_long_as_it_shall(served: Documents) -> None:
    (cookie,) = one(served, "/shares").cookies
    assert cookie.partition("; ")[2] == "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
    (cookie,) = one(served, "/kept").cookies
    assert cookie.partition("; ")[2] == "Path=/; HttpOnly; SameSite=Lax"


def test_a_cookie_that_names_no_side_is_dealt_a_new_one(served: Documents) -> None:
    again = one(served, "/kept", ("cookie", "side=000000000000"))
    assert again.cookies[0].startswith("side=")


def test_a_header_decides_the_side_for_good(served: Documents) -> None:
    users = [f"user-{number}" for number in range(2000)]
    rounds = [
        ask(served.port, [("/hashed", (("x-user", user),)) for user in users]) for _ in range(3)
    ]
    sides = [[each.upstream for each in answers] for answers in rounds]
    assert sides[0] == sides[1] == sides[2]
    # binomial, n = 2,000, p = 0.1: standard deviation 13.4; five of them either way
    assert 133 <= sides[0].count("next") <= 267


def test_an_address_decides_the_side_for_good(served: Documents) -> None:
    assert len(tally(ask(served.port, same(200, "/addresses")))) == 1


def test_copies_are_exactly_as_many_as_requests(served: Documents, fleet: Fleet) -> None:
    before = fleet.counts()
    assert tally(ask(served.port, same(2000, "/copied"))) == {"stable": 2000}

    def copies(name: str) -> int:
        return fleet.counts()[name] - before[name]

    eventually(lambda: copies("first") >= 2000 and copies("second") >= 2000, what="all copies")
    assert (copies("first"), copies("second")) == (2000, 2000)
    # binomial, n = 2,000, p = 0.25: standard deviation 19.4; five of them either way
    assert 403 <= copies("next") <= 597
