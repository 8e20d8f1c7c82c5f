"""Exact limits: two real Envoys, the real rate limit service and a real Redis count together.

The service takes what it counts from our xDS server. Windows are so long (30 days, a year) that
none ends while a test runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from feature.xds_server.background import BackgroundXds
from support.callers import api_key, by_key, from_address
from support.client import HeaderPairs, Response
from support.documents import CLOSED, Document, Documents, gateway, obj, route
from support.envoy import eventually
from support.limiter import NODE, RateLimitService, Redis
from support.upstream import EchoUpstream

from fluxgate.ports import SyncState
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot

pytestmark = pytest.mark.envoy

YEAR = "8760h"
MONTHLY = {"name": "monthly", "limit": 6, "window": "720h", "policy": "Redis"}
TOGETHER = 25
"""What the two Envoys may admit, and not one more."""


def documents(
    service: str, port: int, mode: str = "Open", together: int = TOGETHER
) -> list[Document]:
    """What the gateway says; ``mode`` is the service's failure mode."""

    def limited(name: str, **config: object) -> Document:
        limit = {"policy": "Redis", **config}
        if "requests" in config:
            limit.setdefault("window", YEAR)
        return route(name, port, {"rate-limit": limit}, auth={"mode": "Optional"})

    found = {"url": service, "timeout": "20s", "failureMode": mode}
    plans = [
        {"name": "yearly", "requests": 3, "window": YEAR},
        {"name": "odd", "requests": 3, "window": "5m"},
        {"name": "metered", "requests": 100_000, "quotas": [MONTHLY]},
    ]
    several = [
        {"requests": 2, "window": YEAR, "by": "IP", "policy": "Redis"},
        {"requests": 100, "window": YEAR, "by": "IP", "policy": "Redis"},
    ]
    quota = {"quotas": [{"name": "q", "limit": 3, "window": "720h", "policy": "Redis"}]}
    return [
        gateway(trustedHops=1, plans=plans, rateLimitService=found),
        obj("Tenant", "acme", {}),
        obj("Tenant", "metered", {"plan": "metered"}),
        api_key("a1", tenant="acme"),
        api_key("a2", tenant="acme"),
        api_key("m1", tenant="metered"),
        api_key("m2", tenant="metered"),
        limited("together", requests=together, by="Route"),
        limited("key", requests=2),
        limited("tenant", requests=3, by="Tenant"),
        limited("ip", requests=2, by="IP"),
        limited("header", requests=2, by="Header", header="x-app"),
        limited("plan", plan="yearly", by="Route"),
        limited("several", requests=5, by="Tenant", limits=several),
        limited("code", requests=1, by="Route", rejectedCode=503),
        limited("outage", requests=2, by="Route"),
        route("quota", port, {"quota": quota}, auth={"mode": "Optional"}),
        route("metered", port, auth={"mode": "Optional"}),
        limited("odd-window", requests=1, window="5m"),
        limited("odd-plan", plan="odd"),
        limited("burst", requests=1, burst=5),
    ]


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def xds() -> Iterator[BackgroundXds]:
    with BackgroundXds("main") as running:
        yield running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    running = Redis(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory,
    redis: Redis,
    xds: BackgroundXds,
    echo: EchoUpstream,
) -> Iterator[RateLimitService]:
    folder: Path = tmp_path_factory.mktemp("ratelimit")
    running = RateLimitService(folder, redis, xds.port, "main")
    served = Documents(*documents(running.url, echo.port))
    xds.publish(build_snapshot(served.gateway))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def envoys(service: RateLimitService, echo: EchoUpstream) -> Iterator[tuple[Documents, Documents]]:
    written = documents(service.url, echo.port)
    with Documents(*written) as one, Documents(*written) as other:
        yield one, other


@pytest.fixture(scope="module")
def strict(service: RateLimitService, echo: EchoUpstream) -> Iterator[Documents]:
    """An Envoy of the same gateway, where an outage refuses."""
    with Documents(*documents(service.url, echo.port, "Closed")) as running:
        yield running


@pytest.fixture(autouse=True)
def counts(redis: Redis) -> None:
    """Every test begins with nothing counted."""
    redis.flush()


def statuses(envoys: tuple[Documents, Documents], path: str, *callers: HeaderPairs) -> list[int]:
    """The statuses of these requests, sent to the two Envoys in turn."""
    return [envoys[index % 2].get(path, headers).status for index, headers in enumerate(callers)]


def test_two_envoys_admit_exactly_as_many_as_allowed_together(
    envoys: tuple[Documents, Documents],
) -> None:
    def ask(number: int) -> int:
        return envoys[number % 2].get("/together").status

    with ThreadPoolExecutor(8) as pool:
        found = Counter(pool.map(ask, range(3 * TOGETHER)))
    assert found == {200: TOGETHER, 429: 2 * TOGETHER}


def test_a_key_is_counted_across_envoys_and_a_stranger_by_address(
    envoys: tuple[Documents, Documents],
) -> None:
    assert statuses(envoys, "/key", *[by_key("a1")] * 3) == [200, 200, 429]
    assert statuses(envoys, "/key", by_key("a2")) == [200]
    assert statuses(envoys, "/key", *[from_address("192.0.2.1")] * 3) == [200, 200, 429]


def test_the_keys_of_a_tenant_share_its_count(envoys: tuple[Documents, Documents]) -> None:
    callers = [by_key("a1"), by_key("a2"), by_key("a2"), by_key("a1"), by_key("m1")]
    assert statuses(envoys, "/tenant", *callers) == [200, 200, 200, 429, 200]


def test_addresses_and_header_values_are_counted(envoys: tuple[Documents, Documents]) -> None:
    assert statuses(envoys, "/ip", *[from_address("192.0.2.7")] * 3) == [200, 200, 429]
    assert statuses(envoys, "/ip", from_address("192.0.2.8")) == [200]
    assert statuses(envoys, "/header", *[[("x-app", "one")]] * 3) == [200, 200, 429]
    assert statuses(envoys, "/header", [("x-app", "two")]) == [200]


def test_a_plan_gives_the_numbers(envoys: tuple[Documents, Documents]) -> None:
    assert statuses(envoys, "/plan", *[()] * 4) == [200, 200, 200, 429]


def test_of_several_limits_every_one_has_to_hold(envoys: tuple[Documents, Documents]) -> None:
    """2 an address; 5 for the tenant. What one limit refuses, the other has counted, too."""
    here = [[*by_key("a1"), *from_address("192.0.2.1")]] * 3
    there = [[*by_key("a2"), *from_address("192.0.2.2")]] * 2
    last = [[*by_key("a2"), *from_address("192.0.2.3")]]
    assert statuses(envoys, "/several", *here, *there, *last) == [200, 200, 429, 200, 200, 429]


def test_a_quota_of_a_plugin_counts_a_tenant(envoys: tuple[Documents, Documents]) -> None:
    callers = [by_key("a1"), by_key("a2"), by_key("a1"), by_key("a2"), by_key("m1")]
    assert statuses(envoys, "/quota", *callers) == [200, 200, 200, 429, 200]


def test_the_quota_of_a_plan_counts_a_tenant_on_every_route_of_every_envoy(
    envoys: tuple[Documents, Documents],
) -> None:
    assert statuses(envoys, "/metered", *[by_key("m1")] * 3) == [200] * 3
    assert statuses(envoys, "/key", by_key("m2")) == [200]
    assert statuses(envoys, "/metered", *[by_key("m2")] * 3) == [200, 200, 429]
    assert statuses(envoys, "/metered", by_key("a1")) == [200]


def test_a_refusal_says_what_is_left_and_when_to_come_again(
    envoys: tuple[Documents, Documents],
) -> None:
    here = from_address("192.0.2.77")
    first, *_, refused = [envoys[0].get("/ip", here) for _ in range(3)]
    assert (first.status, refused.status) == (200, 429)
    assert (first.header("x-ratelimit-limit") or "").startswith("2, 2;w=31536000")
    assert first.header("x-ratelimit-remaining") == "1"
    assert first.header("retry-after") is None
    assert refused.header("x-ratelimit-remaining") == "0"
    assert refused.header("retry-after") == refused.header("x-ratelimit-reset")
    assert 0 < int(refused.header("retry-after") or 0) <= 31_536_000
    assert refused.json()["error"] == "rate_limited"
    assert set(refused.json()) == {"error", "message", "request_id"}


def test_a_route_chooses_the_status_of_a_refusal(envoys: tuple[Documents, Documents]) -> None:
    assert envoys[0].get("/code").status == 200
    refused = envoys[1].get("/code")
    assert refused.status == 503
    assert refused.json()["error"] == "rate_limited"
    assert refused.header("retry-after")


def test_a_grpc_client_is_told_that_the_resource_is_exhausted(
    envoys: tuple[Documents, Documents],
) -> None:
    grpc = [("content-type", "application/grpc"), *from_address("192.0.2.88")]
    answers = [envoys[0].get("/ip", grpc, method="POST") for _ in range(3)]
    assert answers[-1].header("grpc-status") == "8"


def test_a_route_without_such_a_limit_asks_nobody(
    redis: Redis, envoys: tuple[Documents, Documents]
) -> None:
    for _ in range(5):
        assert envoys[0].get("/nowhere").status == 404
        assert envoys[0].get("/metered").status == 200
    assert redis.keys() == 0


def passing(answers: list[Response]) -> bool:
    return all(each.status == 200 for each in answers)


def refusing(answers: list[Response]) -> bool:
    return all(
        each.status == 503 and each.json()["error"] == "service_unavailable" for each in answers
    )


def asked(envoy: Documents, times: int = 4) -> list[Response]:
    return [envoy.get("/outage") for _ in range(times)]


def counted_again(envoy: Documents) -> bool:
    """Whether limits hold: at most two of four pass."""
    return [each.status for each in asked(envoy)].count(429) >= 2


def test_without_redis_an_open_gateway_serves_and_a_closed_one_refuses(
    redis: Redis, envoys: tuple[Documents, Documents], strict: Documents
) -> None:
    redis.stop()
    try:
        assert passing(asked(envoys[0]))
        assert refusing(asked(strict))
    finally:
        redis.start()
    eventually(lambda: counted_again(envoys[0]), what="limits hold again")
    eventually(lambda: counted_again(strict), what="limits hold again")


def test_without_the_service_an_open_gateway_serves_and_a_closed_one_refuses(
    service: RateLimitService, envoys: tuple[Documents, Documents], strict: Documents
) -> None:
    service.stop()
    try:
        assert passing(asked(envoys[0]))
        assert refusing(asked(strict))
    finally:
        service.start()
    eventually(lambda: counted_again(envoys[0]), what="limits hold again")
    eventually(lambda: counted_again(strict), what="limits hold again")


@pytest.mark.usefixtures("service")
def test_the_service_is_a_node_that_acknowledges_what_it_counts(xds: BackgroundXds) -> None:
    def settled() -> bool:
        node = xds.node()
        return node is not None and node.types[typeurl.RATE_LIMIT].state is SyncState.SYNCED

    eventually(settled, what="the service has acknowledged")
    node = xds.node()
    assert node is not None
    assert (node.id, node.gateway) == (NODE, "main")
    assert node.snapshot


def test_the_service_takes_new_numbers_without_a_restart(
    xds: BackgroundXds,
    service: RateLimitService,
    envoys: tuple[Documents, Documents],
    echo: EchoUpstream,
    redis: Redis,
) -> None:
    before = build_snapshot(envoys[0].gateway)
    fewer = Documents(*documents(service.url, echo.port, together=1))
    xds.publish(build_snapshot(fewer.gateway))

    def admitted() -> bool:
        redis.flush()
        return statuses(envoys, "/together", (), ()) == [200, 429]

    eventually(admitted, what="one is admitted")
    xds.publish(before)

    def again() -> bool:
        redis.flush()
        return statuses(envoys, "/together", (), ()) == [200, 200]

    eventually(again, what="more are admitted")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd-window", "config.window: policy Redis counts windows of 1s, 1m, 1h"),
        ("odd-plan", "config.plan: policy Redis counts windows of 1s, 1m, 1h"),
        ("burst", "config.burst: policy Redis counts in fixed windows"),
    ],
)
def test_what_cannot_be_counted_closes_the_route_and_names_the_field(
    envoys: tuple[Documents, Documents], name: str, words: str
) -> None:
    assert envoys[0].get(f"/{name}").status == CLOSED
    found = envoys[0].condition("Route", name)
    assert not found.status
    assert words in found.message
