"""``ip-restriction``, enforced by the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, obj, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    def restricted(name: str, **config: object) -> dict[str, object]:
        return route(name, echo.port, {"ip-restriction": config})

    blocked = {"type": "ip-restriction", "config": {"deny": ["192.0.2.66"]}}
    appended = route("append", echo.port, {"ip-restriction": {"deny": ["192.0.2.77"]}})
    appended["spec"]["plugins"][0]["mergeStrategy"] = "Append"
    documents = (
        gateway(trustedHops=1),
        obj(
            "Plugin", "blocked", blocked | {"targets": [{"kind": "GatewayConfig", "name": "main"}]}
        ),
        restricted("allow", allow=["192.0.2.0/24", "2001:db8::/32"]),
        restricted("deny", deny=["192.0.2.0/24"]),
        restricted("both", allow=["192.0.2.0/24"], deny=["192.0.2.7/32"]),
        restricted("malformed", allow=["192.0.2.0/33"]),
        restricted("empty"),
        route("key", echo.port, {"ip-restriction": {"deny": ["192.0.2.0/24"]}}, auth={}),
        route("inherits", echo.port),
        appended,
    )
    with Documents(*documents) as running:
        yield running


def call(served: Documents, path: str, address: str) -> Response:
    """A request whose trusted proxy says it comes from ``address``."""
    return served.get(path, [("x-forwarded-for", address)])


@pytest.mark.parametrize(
    ("path", "address", "status"),
    [
        ("/allow", "192.0.2.1", 200),
        ("/allow", "192.0.3.1", 403),
        ("/allow", "2001:db8::7", 200),
        ("/allow", "2001:db9::7", 403),
        ("/deny", "192.0.2.255", 403),
        ("/deny", "192.0.3.0", 200),
        ("/deny", "2001:db8::7", 200),
        ("/both", "192.0.2.6", 200),
        ("/both", "192.0.2.7", 403),
        ("/both", "198.51.100.1", 403),
    ],
)
def test_blocks_decide_and_deny_outranks_allow(
    served: Documents, path: str, address: str, status: int
) -> None:
    assert call(served, path, address).status == status


def test_a_refusal_has_the_error_shape_and_does_not_reach_the_upstream(
    served: Documents, echo: EchoUpstream
) -> None:
    before = len(echo.requests)
    answer = call(served, "/deny", "192.0.2.1")
    assert answer.header("content-type") == "application/json"
    body = answer.json()
    assert body["error"] == "forbidden"
    assert body["message"] == "The client's address or certificate may not use this route."
    assert body["request_id"] == answer.header("x-request-id")
    assert len(echo.requests) == before


def test_a_grpc_client_that_is_refused_gets_permission_denied(served: Documents) -> None:
    headers = [("x-forwarded-for", "192.0.2.1"), ("content-type", "application/grpc")]
    answer = served.get("/deny", headers, method="POST")
    assert (answer.status, answer.header("grpc-status")) == (200, "7")


def test_an_address_further_left_than_the_trusted_hops_counts_for_nothing(
    served: Documents,
) -> None:
    assert call(served, "/deny", "198.51.100.1, 192.0.2.1").status == 403
    assert call(served, "/allow", "192.0.2.1, 198.51.100.1").status == 403


def test_without_trusted_hops_the_header_counts_for_nothing(echo: EchoUpstream) -> None:
    local = route("local", echo.port, {"ip-restriction": {"allow": ["127.0.0.0/8"]}})
    remote = route("remote", echo.port, {"ip-restriction": {"allow": ["192.0.2.1"]}})
    with Documents(gateway(), local, remote) as served:
        assert call(served, "/local", "192.0.2.1").status == 200
        assert call(served, "/remote", "192.0.2.1").status == 403


def test_a_denied_address_gets_to_try_no_credential(served: Documents) -> None:
    assert call(served, "/key", "192.0.2.1").status == 403
    assert call(served, "/key", "192.0.3.1").status == 401


def test_a_plugin_of_the_gateway_holds_on_every_route_that_does_not_say_otherwise(
    served: Documents,
) -> None:
    assert call(served, "/inherits", "192.0.2.66").status == 403
    assert call(served, "/inherits", "192.0.2.1").status == 200
    assert call(served, "/allow", "192.0.2.66").status == 200, "the route's own replaces it"
    assert call(served, "/append", "192.0.2.66").status == 403
    assert call(served, "/append", "192.0.2.77").status == 403
    assert call(served, "/append", "192.0.2.1").status == 200


@pytest.mark.parametrize(
    ("name", "field"),
    [("malformed", "spec.plugins[0].config.allow[0]"), ("empty", "spec.plugins[0].config")],
)
def test_a_malformed_config_closes_the_route_and_names_the_field(
    served: Documents, name: str, field: str
) -> None:
    condition = served.condition("Route", name)
    assert (condition.status, str(condition.reason)) == (False, "Invalid")
    assert condition.message.startswith(f"{field}: ")
    assert call(served, f"/{name}", "192.0.2.1").status == CLOSED
