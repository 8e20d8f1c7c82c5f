"""Plans, enforced by the real Envoy: a bucket for each key."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from support.client import Response
from support.envoy import eventually
from support.keygateway import KeyGateway, api_key, gateway, route

from fluxgate.ir import AccessLogIR, KeyAuth, PlanBucket

pytestmark = pytest.mark.envoy

DAY = 86_400_000
CLOCKS = 0.02
"""Seconds by which Envoy's look at the clock may be off."""
SMALL = PlanBucket("small", 1, DAY, 3)
LARGE = PlanBucket("large", 1, DAY, 7)
KEYS = [api_key(f"sk_test_{i:032d}", f"key-{i}", tenant="acme", plan="small") for i in range(60)]


def key(number: int) -> str:
    return f"sk_test_{number:032d}"


def statuses(answers: list[Response]) -> list[int]:
    return [answer.status for answer in answers]


def limit_headers(answer: Response) -> tuple[str | None, str | None]:
    return answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")


@pytest.fixture
def proxy() -> Iterator[KeyGateway]:
    routes = [
        route("/large", KeyAuth(), plan="large"),
        route("/too-large", KeyAuth(), plan="large"),
        route("/optional", KeyAuth(required=False), plan="large"),
        route("/free-optional", KeyAuth(required=False)),
        route("/address", plan="small"),
        route("/unknown", KeyAuth(), plan="nowhere"),
        route("/open"),
        route("/", KeyAuth()),
    ]
    keys = [*KEYS, api_key("sk_test_noplan", "key-noplan")]
    with KeyGateway(gateway(keys, [SMALL, LARGE]), routes, trusted_hops=1) as running:
        yield running


def test_a_key_has_its_burst_and_then_429(proxy: KeyGateway) -> None:
    assert statuses([proxy.key(key(0)) for _ in range(5)]) == [200, 200, 200, 429, 429]


def test_a_refused_request_does_not_reach_the_upstream(proxy: KeyGateway) -> None:
    for _ in range(6):
        proxy.key(key(0))
    assert len(proxy.echo.requests) == 3


def test_every_key_has_a_bucket_of_its_own(proxy: KeyGateway) -> None:
    assert statuses([proxy.key(key(0)) for _ in range(4)]) == [200, 200, 200, 429]
    assert statuses([proxy.key(key(1)) for _ in range(4)]) == [200, 200, 200, 429]


def test_fifty_keys_are_counted_at_the_same_time(proxy: KeyGateway) -> None:
    """Envoy's default is 20 dynamic descriptors: beyond them counters start again."""
    for _ in range(3):
        for number in range(50):
            assert proxy.key(key(number)).status == 200
    for number in range(50):
        assert proxy.key(key(number)).status == 429


def test_the_plan_of_the_route_outranks_the_plan_of_the_key(proxy: KeyGateway) -> None:
    answers = [proxy.key(key(0), "/large") for _ in range(8)]
    assert statuses(answers) == [200] * 7 + [429]
    assert proxy.key(key(0)).status == 200


def test_routes_with_one_plan_share_the_bucket_of_a_key(proxy: KeyGateway) -> None:
    assert statuses([proxy.key(key(0), "/large") for _ in range(7)]) == [200] * 7
    assert proxy.key(key(0), "/too-large").status == 429


def test_answers_carry_the_size_of_the_bucket_and_what_is_left(proxy: KeyGateway) -> None:
    answers = [proxy.key(key(0)) for _ in range(4)]
    assert [limit_headers(each) for each in answers] == [
        ("3", "2"),
        ("3", "1"),
        ("3", "0"),
        ("3", "0"),
    ]


def test_a_request_that_no_plan_limits_has_no_limit_headers(proxy: KeyGateway) -> None:
    for answer in (
        proxy.key("sk_test_noplan"),
        proxy.get("/open"),
        proxy.get("/free-optional"),
        proxy.key("sk_test_noplan", "/unknown"),
    ):
        assert answer.status == 200
        assert limit_headers(answer) == (None, None)
        assert answer.header("retry-after") is None


def test_many_requests_without_a_plan_are_never_limited(proxy: KeyGateway) -> None:
    assert {proxy.key("sk_test_noplan").status for _ in range(300)} == {200}


def test_an_open_route_with_a_plan_counts_addresses(proxy: KeyGateway) -> None:
    def call(address: str) -> Response:
        return proxy.get("/address", [("x-forwarded-for", address)])

    assert statuses([call("192.0.2.1") for _ in range(4)]) == [200, 200, 200, 429]
    assert call("192.0.2.2").status == 200


def test_where_keys_are_optional_requests_without_one_are_counted_by_address(
    proxy: KeyGateway,
) -> None:
    def call(address: str, *headers: tuple[str, str]) -> Response:
        return proxy.get("/optional", [("x-forwarded-for", address), *headers])

    assert statuses([call("192.0.2.1") for _ in range(8)]) == [200] * 7 + [429]
    assert call("192.0.2.2").status == 200
    keyed = [call("192.0.2.1", ("apikey", key(0))) for _ in range(8)]
    assert statuses(keyed) == [200] * 7 + [429]


def test_a_key_that_is_refused_takes_no_token(proxy: KeyGateway) -> None:
    for _ in range(5):
        assert proxy.get("/", [("apikey", key(0)), ("x-api-key", "other")]).status == 401
    assert statuses([proxy.key(key(0)) for _ in range(4)]) == [200, 200, 200, 429]


def test_a_forged_identity_does_not_choose_the_bucket(proxy: KeyGateway) -> None:
    forged = [("x-auth-key-id", "key-9"), ("x-auth-plan", "large")]
    assert statuses([proxy.key(key(0), "/", forged) for _ in range(4)]) == [200, 200, 200, 429]
    assert proxy.key(key(9)).status == 200


def test_limits_hold_where_no_access_log_is_written() -> None:
    """Without a log the script says less, but still all that limits count by."""
    quiet = replace(gateway(KEYS, [SMALL, LARGE]), access_log=AccessLogIR(""))
    routes = [route("/large", KeyAuth(), plan="large"), route("/", KeyAuth())]
    with KeyGateway(quiet, routes) as proxy:
        assert statuses([proxy.key(key(0)) for _ in range(4)]) == [200, 200, 200, 429]
        assert statuses([proxy.key(key(1)) for _ in range(4)]) == [200, 200, 200, 429]
        assert statuses([proxy.key(key(0), "/large") for _ in range(8)]) == [200] * 7 + [429]


def test_a_new_key_does_not_reset_the_counters(proxy: KeyGateway) -> None:
    assert statuses([proxy.key(key(0)) for _ in range(4)]) == [200, 200, 200, 429]
    fresh = api_key("sk_test_fresh", "key-fresh", plan="small")
    proxy.update(gateway([*KEYS, fresh], [SMALL, LARGE]))
    eventually(lambda: proxy.key("sk_test_fresh").status == 200, what="the new key works")
    assert proxy.key(key(0)).status == 429


def test_a_plan_changes_without_touching_the_listener(proxy: KeyGateway) -> None:
    pattern = "listener_manager.listener_(modified|added|create_success)"
    before = proxy.envoy.stats(pattern)
    proxy.update(gateway(KEYS, [PlanBucket("small", 1, DAY, 10), LARGE]))
    eventually(lambda: limit_headers(proxy.key(key(0)))[0] == "10", what="the new burst")
    assert proxy.envoy.stats(pattern) == before


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, between two looks at the clock, when so many had ``passed`` before it."""

    sent: float
    answer: Response
    answered: float
    passed: int


def ask_until(proxy: KeyGateway, over: Callable[[Asked], bool]) -> list[Asked]:
    """Requests one after the other, up to the one that ends it."""
    asked: list[Asked] = []
    while not asked or not over(asked[-1]):
        passed = sum(each.answer.status == 200 for each in asked)
        sent = time.monotonic()
        answer = proxy.key(key(0))
        assert answer.status in (200, 429)
        asked.append(Asked(sent, answer, time.monotonic(), passed))
        assert sent - asked[0].sent < 60, "it never ended"
    return asked


@pytest.mark.parametrize(
    "plan",
    [PlanBucket("p", 2, 3_000, 2), PlanBucket("p", 1, 3_000, 1), PlanBucket("p", 5, 10_000, 4)],
    ids=lambda plan: f"{plan.requests} in {plan.window_ms} ms, burst {plan.burst}",
)
def test_retry_after_is_the_time_until_the_next_token(plan: PlanBucket) -> None:
    """However late a request is looked at, it was between being sent and being answered."""
    each_s = plan.window_ms / plan.requests / 1000
    with KeyGateway(gateway([api_key(key(0), plan="p")], [plan]), [route("/", KeyAuth())]) as proxy:
        # the burst, a refusal, and the first to pass after one
        refused = False

        def over(last: Asked) -> bool:
            nonlocal refused
            refused = refused or last.answer.status == 429
            return refused and last.answer.status == 200

        asked = ask_until(proxy, over)
    for each in asked:
        # the bucket was full until the first request took from it
        wait = each_s * (each.passed + 1 - plan.burst)
        earliest, latest = asked[0].sent + wait, asked[0].answered + wait
        if each.answer.status == 200:
            assert each.answered >= earliest - CLOCKS
            continue
        assert each.answer.status == 429
        assert each.sent <= latest + CLOCKS
        stated = int(each.answer.header("retry-after") or 0)
        assert max(1, int(each.answer.header("x-ratelimit-reset") or -1)) == stated
        assert math.ceil(earliest - each.answered - CLOCKS) <= stated
        assert stated <= max(1, math.ceil(latest - each.sent + CLOCKS))
    assert asked[-1].passed >= plan.burst


def test_retry_after_counts_down(proxy: KeyGateway) -> None:
    for _ in range(3):
        proxy.key(key(0))
    stated = int(proxy.key(key(0)).header("retry-after") or 0)
    assert DAY / 1000 - 60 < stated <= DAY / 1000
    eventually(
        lambda: int(proxy.key(key(0)).header("retry-after") or 0) < stated, what="a lower value"
    )


def test_the_long_run_rate_is_the_plans() -> None:
    """20 a second after a burst of 40: what passed until a refusal is the bucket and its filling."""
    plan = PlanBucket("p", 20, 1_000, 40)
    with KeyGateway(gateway([api_key(key(0), plan="p")], [plan]), [route("/", KeyAuth())]) as proxy:
        first = time.monotonic()
        asked = ask_until(proxy, lambda last: last.sent > first + 2 and last.answer.status == 429)
    last = asked[-1]
    fewest = plan.burst + 20 * (last.sent - asked[0].answered)
    most = plan.burst + 20 * (last.answered - asked[0].sent)
    assert fewest - 1 <= last.passed <= most
