"""``rate-limit`` and ``quota`` with policy Local, enforced by the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.callers import api_key, by_key, from_address
from support.client import HeaderPairs
from support.documents import CLOSED, Documents, gateway, obj, route
from support.tokens import Issuer
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

ISSUER = Issuer()
SLOW = "1000h"
"""So long a window that no token comes back while a test runs."""
DAILY = {"name": "daily", "limit": 3, "window": "24h"}
PLANS = [
    {"name": "small", "requests": 2, "window": SLOW},
    {"name": "large", "requests": 100, "window": SLOW},
    {"name": "metered", "requests": 1000, "window": SLOW, "quotas": [DAILY]},
]
KEYS = (
    api_key("a1", tenant="acme"),
    api_key("a2", tenant="acme"),
    api_key("b1", tenant="umbrella"),
    api_key("stray"),
    api_key("m1", tenant="metered"),
    api_key("m2", tenant="metered"),
    api_key("o1", tenant="own"),
    api_key("poor", plan="small"),
)
OPTIONAL = {"mode": "Optional"}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    def limited(name: str, *, auth: object = None, **config: object) -> dict[str, object]:
        limit = {"window": SLOW, **config} if "requests" in config else config
        return route(name, echo.port, {"rate-limit": limit}, auth=auth or OPTIONAL)

    several = [
        {"requests": 5, "window": SLOW, "by": "Tenant"},
        {"requests": 2, "window": SLOW, "by": "IP"},
        {"requests": 8, "window": SLOW, "by": "IP"},
    ]
    shared = {"type": "rate-limit", "config": {"requests": 2, "window": SLOW, "by": "IP"}}
    quota = {"quotas": [{"name": "q", "limit": 3, "window": "720h"}]}
    named = [{"name": "shared"}]
    documents = (
        gateway(trustedHops=1, plans=PLANS),
        obj("Tenant", "acme", {}),
        obj("Tenant", "umbrella", {}),
        obj("Tenant", "metered", {"plan": "metered"}),
        obj("Tenant", "own", {"plan": "metered", "quotas": [DAILY | {"limit": 5}]}),
        *KEYS,
        obj("Plugin", "shared", shared),
        limited("key", requests=2),
        limited("tenant", requests=3, by="Tenant"),
        limited("ip", requests=2, by="IP"),
        limited("header", requests=2, by="Header", header="X-App"),
        limited("route", requests=3, by="Route"),
        limited("plan", plan="small", by="IP"),
        limited("plan-again", plan="small", by="IP"),
        limited("several", limits=several),
        limited("code", requests=1, by="Route", rejectedCode=503),
        limited("outranks", requests=4),
        route("own-plan", echo.port, auth={}),
        route("both", echo.port, {"rate-limit": {"requests": 1, "window": SLOW, "by": "IP"}},
              auth={}),
        route("left", echo.port, plugins=named),
        route("right", echo.port, plugins=named),
        route("quota", echo.port, {"quota": quota}, auth=OPTIONAL),
        route("metered", echo.port, auth=OPTIONAL),
        route("theirs", echo.port, tenant="own"),
        *(
            route(
                name,
                echo.port,
                {"jwt-auth": {"providers": [ISSUER.provider(claims={"tenant": "org"})]}},
                {"rate-limit": {"requests": 2, "window": SLOW, "by": by}},
                auth={"credentials": ["JWT", "ApiKey"], "mode": "Optional"},
            )
            for name, by in (("subjects", "Key"), ("organisations", "Tenant"))
        ),
        limited("unlimited-plan", plan="nowhere", by="IP"),
        limited("malformed", requests=1, by="Header"),
        limited("not-redis", requests=1, policy="Redis", window="1m"),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def statuses(served: Documents, path: str, *callers: HeaderPairs) -> list[int]:
    return [served.get(path, headers).status for headers in callers]


def test_a_key_is_counted_by_itself_and_a_stranger_by_address(served: Documents) -> None:
    assert statuses(served, "/key", *[by_key("a1")] * 3) == [200, 200, 429]
    assert statuses(served, "/key", by_key("a2")) == [200]
    assert statuses(served, "/key", *[from_address("192.0.2.1")] * 3) == [200, 200, 429]
    assert statuses(served, "/key", from_address("192.0.2.2")) == [200]


def test_the_keys_of_a_tenant_share_its_count(served: Documents) -> None:
    mixed = [by_key("a1"), by_key("a2"), by_key("a1"), by_key("a2"), by_key("b1")]
    assert statuses(served, "/tenant", *mixed) == [200, 200, 200, 429, 200]


def test_who_has_no_tenant_is_counted_by_address(served: Documents) -> None:
    strangers = [[*by_key("stray"), *from_address("198.51.100.1")]] * 3
    assert statuses(served, "/tenant", *strangers, from_address("198.51.100.1")) == [
        200, 200, 200, 429,
    ]  # fmt: skip
    assert statuses(served, "/tenant", from_address("198.51.100.2")) == [200]


def test_an_address_is_counted_whatever_key_it_presents(served: Documents) -> None:
    here = from_address("192.0.2.1")
    callers = [[*by_key("a1"), *here], [*by_key("b1"), *here], here]
    assert statuses(served, "/ip", *callers) == [200, 200, 429]


def test_addresses_of_one_ipv6_network_of_64_bits_share_a_count(served: Documents) -> None:
    callers = [from_address(f"2001:db8::{last}") for last in (1, 2, 3)]
    assert statuses(served, "/ip", *callers) == [200, 200, 429]
    assert statuses(served, "/ip", from_address("2001:db8:0:1::1")) == [200]


def test_each_value_of_a_header_is_counted_and_its_absence_by_address(served: Documents) -> None:
    one, other = [("x-app", "one")], [("X-APP", "two")]
    assert statuses(served, "/header", one, one, one, other) == [200, 200, 429, 200]
    nobody = from_address("192.0.2.9")
    assert statuses(served, "/header", nobody, nobody, nobody) == [200, 200, 429]


def test_a_route_is_counted_as_a_whole(served: Documents) -> None:
    callers = [by_key("a1"), by_key("b1"), from_address("192.0.2.1"), from_address("192.0.2.2")]
    assert statuses(served, "/route", *callers) == [200, 200, 200, 429]


def test_routes_that_name_one_plan_and_count_alike_share_the_count(served: Documents) -> None:
    here = from_address("203.0.113.5")
    assert statuses(served, "/plan", here) == [200]
    assert statuses(served, "/plan-again", here, here) == [200, 429]


def test_routes_of_one_plugin_share_its_count(served: Documents) -> None:
    here = from_address("203.0.113.6")
    assert statuses(served, "/left", here) == [200]
    assert statuses(served, "/right", here, here) == [200, 429]


def test_of_several_limits_every_one_has_to_hold(served: Documents) -> None:
    """2 an address although another limit gives it 8; 5 for the tenant from anywhere."""
    acme = [[*by_key("a1"), *from_address(f"192.0.2.{last}")] for last in (1, 1, 1, 2, 2, 3, 4)]
    assert statuses(served, "/several", *acme) == [200, 200, 429, 200, 200, 200, 429]


def test_a_refusal_says_what_is_left_and_when_to_come_again(served: Documents) -> None:
    first, *_, refused = [served.get("/ip", from_address("192.0.2.77")) for _ in range(3)]
    assert first.header("x-ratelimit-limit") == "2"
    assert first.header("x-ratelimit-remaining") == "1"
    assert refused.header("x-ratelimit-remaining") == "0"
    assert int(refused.header("retry-after") or 0) >= 1
    assert refused.json()["error"] == "rate_limited"
    assert set(refused.json()) == {"error", "message", "request_id"}


def test_a_route_chooses_the_status_of_a_refusal(served: Documents) -> None:
    assert served.get("/code").status == 200
    refused = served.get("/code")
    assert refused.status == 503
    assert refused.json()["error"] == "rate_limited"
    assert refused.header("retry-after")


def test_a_grpc_client_is_told_that_the_resource_is_exhausted(served: Documents) -> None:
    grpc = [("content-type", "application/grpc"), *from_address("192.0.2.88")]
    refused = [served.get("/ip", grpc, method="POST") for _ in range(3)][-1]
    assert refused.header("grpc-status") == "8"


def test_the_limit_of_a_route_by_key_outranks_the_plan_of_the_key(served: Documents) -> None:
    assert statuses(served, "/outranks", *[by_key("poor")] * 5) == [200] * 4 + [429]


def test_a_limit_counted_otherwise_holds_besides_the_plan_of_the_key(served: Documents) -> None:
    """/own-plan shows that the plan allows two; /both that the address is counted, too."""
    poor = by_key("poor")
    assert statuses(served, "/own-plan", poor) == [200]
    here = [*poor, *from_address("192.0.2.3")]
    assert statuses(served, "/both", here, here) == [200, 429]
    assert statuses(served, "/own-plan", poor) == [429]


def token(subject: str, tenant: str = "") -> list[tuple[str, str]]:
    """The headers of a request with a JWT."""
    return [ISSUER.bearer(sub=subject, **({"org": tenant} if tenant else {}))]


def test_the_subject_of_a_token_is_counted_as_a_key_is(served: Documents) -> None:
    assert statuses(served, "/subjects", *[token("alice")] * 3) == [200, 200, 429]
    assert statuses(served, "/subjects", token("bob"), by_key("a1")) == [200, 200]


def test_tokens_and_keys_of_a_tenant_share_its_count(served: Documents) -> None:
    callers = [token("alice", "acme"), by_key("a1"), token("bob", "acme"), token("eve", "other")]
    assert statuses(served, "/organisations", *callers) == [200, 200, 429, 200]


def test_a_quota_is_used_up_by_all_keys_of_the_tenant(served: Documents) -> None:
    callers = [by_key("a1"), by_key("a2"), by_key("a1"), by_key("a2"), by_key("b1")]
    assert statuses(served, "/quota", *callers) == [200, 200, 200, 429, 200]


def test_the_quota_of_a_plan_counts_a_tenant_on_every_route(served: Documents) -> None:
    answers = [
        served.get("/metered", by_key("m1")),
        served.get("/own-plan", by_key("m2")),
        served.get("/metered", by_key("m2")),
        served.get("/metered", by_key("m1")),
    ]
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert answers[-1].header("x-ratelimit-limit") == "3"


def test_a_tenants_own_quota_replaces_that_of_its_plan_and_counts_strangers_on_its_routes(
    served: Documents,
) -> None:
    assert statuses(served, "/theirs", *[()] * 2) == [200, 200]
    assert statuses(served, "/metered", *[by_key("o1")] * 4) == [200, 200, 200, 429]
    assert served.get("/theirs").status == 429


def test_a_tenant_without_a_quota_is_not_counted(served: Documents) -> None:
    answers = [served.get("/metered", by_key("a1")) for _ in range(10)]
    assert {each.status for each in answers} == {200}


def test_a_forged_identity_is_nobodys(served: Documents) -> None:
    def forged(value: str) -> HeaderPairs:
        names = ("x-tenant-id", "x-auth-key-id", "x-auth-subject")
        return [*((name, value) for name in names), *from_address("198.51.100.77")]

    callers = [forged(f"made-up-{number}") for number in range(4)]
    assert statuses(served, "/tenant", *callers) == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unlimited-plan", "config.plan: there is no plan 'nowhere'"),
        ("malformed", "config.header: header goes with by Header"),
        ("not-redis", "config.policy: Redis needs spec.rateLimitService"),
    ],
)
def test_a_limit_that_cannot_be_set_up_closes_the_route_and_names_the_field(
    served: Documents, name: str, words: str
) -> None:
    assert served.get(f"/{name}").status == CLOSED
    found = [served.condition("Route", name, of) for of in ("Accepted", "ResolvedRefs")]
    assert any(not each.status and words in each.message for each in found), found
