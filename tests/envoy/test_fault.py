"""``fault``: injected delays and errors, for whom, and how many."""

from __future__ import annotations

import http.client
import math
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest
from support.callers import api_key, by_key
from support.documents import Documents, gateway, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
REQUESTS = 10_000
SHARE = 0.10
FIVE_SIGMA = 5 * math.sqrt(REQUESTS * SHARE * (1 - SHARE))
"""150 of 1,000: a right implementation misses it once in 1.7 million runs."""


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    port = echo.port
    chaos = [{"name": "x-chaos", "value": "on"}]
    documents = (
        gateway(logging={"accessLog": {"enabled": False}}),
        api_key("caller"),
        route("tenth", port, {"fault": {"abort": {"status": 503, "percent": 10}}},
              {"direct-response": {"body": "ok"}}),
        route("all", port, {"fault": {"abort": {"status": 500, "message": "on purpose %d"}}}),
        route("by-header", port, {"fault": {"abort": {"status": 503}, "headers": chaos}}),
        route("slow", port, {"fault": {"delay": {"duration": "300ms"}}}),
        route("never", port, {"fault": {"delay": {"duration": "10s", "percent": 0},
                                        "abort": {"status": 503, "percent": 0}}}),
        route("none-at-once", port, {"fault": {"abort": {"status": 503}, "maxActive": 0}}),
        route("private", port, {"fault": {"abort": {"status": 503}}}, auth={}),
        route("open", port),
        route("bad-nothing", port, {"fault": {}}),
        route("bad-both", port, {"fault": {"abort": {"status": 503, "grpcStatus": 1}}}),
        route("bad-percent", port, {"fault": {"abort": {"status": 503, "percent": 101}}}),
        *(route(f"grpc-{code}", port, {"fault": {"abort": {"grpcStatus": code}}})
          for code in (5, 7, 8, 14)),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def test_a_tenth_of_the_requests_fails(served: Documents) -> None:
    """Binomial(10,000, 0.1): 1,000 failures, within 150 (five standard deviations)."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    seen: Counter[int] = Counter()
    for _ in range(REQUESTS):
        connection.request("GET", "/tenth")
        answer = connection.getresponse()
        answer.read()
        seen[answer.status] += 1
    connection.close()
    assert set(seen) == {200, 503}
    assert abs(seen[503] - REQUESTS * SHARE) <= FIVE_SIGMA, seen


def test_an_abort_says_what_it_is_and_spares_the_upstream(
    served: Documents, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = served.get("/all")
    assert (answer.status, answer.json()["error"]) == (500, "internal_error")
    assert answer.json()["message"] == "on purpose %d"
    assert echo.requests == []


def test_only_requests_with_the_header_fail(served: Documents) -> None:
    assert served.get("/by-header").status == 200
    assert served.get("/by-header", [("x-chaos", "off")]).status == 200
    assert served.get("/by-header", [("x-chaos", "on")]).status == 503


def test_a_delay_holds_the_request_and_then_lets_it_pass(served: Documents) -> None:
    before = time.monotonic()
    assert served.get("/slow").status == 200
    # Envoy's timers count from the last turn of its event loop, a few milliseconds ago
    assert time.monotonic() - before >= 0.28


def test_nought_per_cent_and_no_fault_at_a_time_are_none(served: Documents) -> None:
    assert {served.get("/never").status for _ in range(20)} == {200}
    assert {served.get("/none-at-once").status for _ in range(20)} == {200}


def test_a_request_that_is_refused_anyway_is_not_drawn(served: Documents) -> None:
    assert served.get("/private").status == 401
    assert served.get("/private", by_key("caller")).status == 503


@pytest.mark.parametrize("code", [5, 7, 8, 14])
def test_a_grpc_client_gets_the_status_that_is_given(served: Documents, code: int) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{served.port}")
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/grpc-{code}/Call")(b"x", timeout=60)
    assert caught.value.code().value[0] == code
    assert caught.value.details() == "This error was injected by the gateway."


def test_clients_cannot_ask_for_faults(served: Documents) -> None:
    asked = [("x-envoy-fault-abort-request", "503"), ("x-envoy-fault-abort-request-percentage", "100"),
             ("x-envoy-fault-delay-request", "5000")]  # fmt: skip
    assert served.get("/never", asked).status == 200


def test_another_route_does_not_fail(served: Documents) -> None:
    assert served.get("/open", [("x-chaos", "on")]).status == 200


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bad-nothing", "config: injects nothing"),
        ("bad-both", "config.abort: give exactly one"),
        ("bad-percent", "config.abort.percent"),
    ],
)
def test_a_malformed_config_is_named_and_the_route_served_without(
    served: Documents, name: str, field: str
) -> None:
    assert f"spec.plugins[0].{field}" in served.condition("Route", name).message
    assert served.get(f"/{name}").status == 200
