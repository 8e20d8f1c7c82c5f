"""``request-termination``: maintenance, and who may pass all the same."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from support.callers import from_address
from support.documents import CLOSED, Documents, gateway, obj, route, secret
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
PASS = "let-me-through-please-0123"


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    port = echo.port
    header = {"name": "X-Pass", "secretRef": {"name": "maintenance"}}
    bypass = {"header": header, "cidrs": ["198.51.100.0/24", "2001:db8::/32"]}
    messages = {"message": 'Back at "6" \\ ü', "retryAfter": "1m30s500ms"}
    documents = (
        gateway(trustedHops=1),
        secret("maintenance", {"value": PASS + "\n", "short": "abc"}),
        route("default", port, {"request-termination": {}}),
        route("told", port, {"request-termination": {"status": 418, **messages}}),
        route("bypass", port, {"request-termination": {"bypass": bypass}}),
        route("private", port, {"request-termination": {"bypass": bypass}}, auth={}),
        route("cors", port, {"request-termination": {}}, cors={"allowOrigins": ["https://a.test"]}),
        route("open", port),
        route("bad-status", port, {"request-termination": {"status": 200}}),
        route("bad-nobody", port, {"request-termination": {"bypass": {}}}),
        route("bad-cidr", port, {"request-termination": {"bypass": {"cidrs": ["10/8"]}}}),
        route("bad-secret", port, {"request-termination": {"bypass": {"header": {
            "name": "x-pass", "secretRef": {"name": "nowhere"}}}}}),
        route("bad-short", port, {"request-termination": {"bypass": {"header": header | {
            "key": "short"}}}}),
        route("bad-name", port, {"request-termination": {"bypass": {"header": header | {
            "name": "x-tenant-id"}}}}),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def test_everybody_is_told(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    answer = served.get("/default")
    assert (answer.status, answer.json()["error"]) == (503, "service_unavailable")
    assert answer.json()["message"] == "The service is down for maintenance; try again later."
    assert answer.header("retry-after") is None
    assert echo.requests == []


def test_status_message_and_time_are_those_given(served: Documents) -> None:
    answer = served.get("/told")
    assert (answer.status, answer.json()["message"]) == (418, 'Back at "6" \\ ü')
    assert answer.header("retry-after") == "91"


def test_nobody_is_asked_for_a_credential(served: Documents) -> None:
    assert served.get("/private").status == 503


def test_a_browser_of_an_allowed_origin_may_read_the_answer(served: Documents) -> None:
    answer = served.get("/cors", [("origin", "https://a.test")])
    assert (answer.status, answer.header("access-control-allow-origin")) == (503, "https://a.test")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("x-pass", PASS)], 200),
        ([("X-PASS", PASS)], 200),
        ([("x-pass", PASS + "x")], 503),
        ([("x-pass", "")], 503),
        ([("x-pass", PASS), ("x-pass", PASS)], 503),
        ([("x-pass", "y" * 5000)], 503),
        (from_address("198.51.100.7"), 200),
        (from_address("2001:db8::7"), 200),
        (from_address("198.51.101.7"), 503),
        (from_address("203.0.113.1, 198.51.100.7"), 200),
        (from_address("198.51.100.7, 203.0.113.1"), 503),
    ],
)
def test_who_has_the_pass_or_the_address_is_let_through(
    served: Documents, headers: list[tuple[str, str]], status: int
) -> None:
    assert served.get("/bypass", headers).status == status


def test_the_pass_does_not_reach_the_upstream(served: Documents) -> None:
    assert served.get("/bypass", [("x-pass", PASS)]).echoed("x-pass") == []
    both = [("x-pass", "wrong"), *from_address("198.51.100.7")]
    assert served.get("/bypass", both).echoed("x-pass") == []


def test_who_is_let_through_is_asked_for_a_credential_all_the_same(served: Documents) -> None:
    assert served.get("/private", [("x-pass", PASS)]).status == 401


def test_the_proxy_is_not_told_the_pass(served: Documents) -> None:
    assert PASS not in served.envoy.admin("/config_dump")


def test_a_grpc_client_finds_it_unavailable(served: Documents) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{served.port}")
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/default/Call")(b"x", timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "maintenance" in caught.value.details()


def test_another_route_is_served(served: Documents) -> None:
    assert served.get("/open").status == 200


def test_a_whole_tenant_may_be_in_maintenance(echo: EchoUpstream) -> None:
    target = {"kind": "Tenant", "name": "acme"}
    spec = {"type": "request-termination", "config": {}, "targets": [target], "tenant": "acme"}
    documents = (
        gateway(),
        obj("Tenant", "acme", {}),
        obj("Plugin", "down", spec),
        route("theirs", echo.port, tenant="acme"),
        route("ours", echo.port),
    )
    with Documents(*documents) as served:
        assert (served.get("/theirs").status, served.get("/ours").status) == (503, 200)


@pytest.mark.parametrize(
    ("name", "field", "of"),
    [
        ("bad-status", "config.status", "Accepted"),
        ("bad-nobody", "config.bypass: lets nobody", "Accepted"),
        ("bad-cidr", "config.bypass.cidrs[0]", "Accepted"),
        ("bad-secret", "config.bypass.header.secretRef", "ResolvedRefs"),
        ("bad-short", "config.bypass.header.secretRef", "Accepted"),
        ("bad-name", "config.bypass.header.name", "Accepted"),
    ],
)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str, field: str, of: str
) -> None:
    found = served.condition("Route", name, of)
    assert (found.status, f"spec.plugins[0].{field}" in found.message) == (False, True)
    answer = served.get(f"/{name}", [("x-pass", PASS)])
    assert answer.status == CLOSED
    assert "policies could not be set up" in answer.json()["message"]
