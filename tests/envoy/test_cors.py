"""CORS: preflights are answered by the gateway, before authentication."""

from collections.abc import Iterator

import pytest
from support.client import Response
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route
from support.upstream import EchoUpstream

from fluxgate.ir import (
    CorsPolicy,
    Gateway,
    KeyAuth,
    PathKind,
    PathMatch,
    RouteMatch,
    ValueKind,
    ValueMatch,
)

pytestmark = pytest.mark.envoy
POLICY = CorsPolicy(
    allow_origins=("https://app.example.com", "https://*.shop.example.com"),
    allow_methods=("GET", "POST"),
    allow_headers=("content-type", "apikey"),
    expose_headers=("x-request-id",),
    allow_credentials=True,
    max_age_s=600,
)
ANYONE = CorsPolicy(("*",), ("GET",), ("*",), (), False, 60)
APP = "https://app.example.com"


def _gateway(echo: EchoUpstream) -> Gateway:
    path = PathMatch(PathKind.PREFIX, "/orders")
    preflight = RouteMatch(
        path,
        methods=("OPTIONS",),
        headers=(
            ValueMatch("origin", ValueKind.PRESENT),
            ValueMatch("access-control-request-method", ValueKind.PRESENT),
        ),
    )
    routes = (
        route("/private", forward("up"), key_auth=KeyAuth(), cors=POLICY),
        # a POST-only route, and its sibling that preflights take. The sibling forwards like its
        # parent: Envoy's filter answers preflights only on routes that lead to a cluster
        route("/orders", forward("up"), match=RouteMatch(path, ("POST",)), cors=POLICY),
        route("/orders/preflight", forward("up"), match=preflight, cors=POLICY),
        route("/anyone", forward("up"), cors=ANYONE),
        route("/same-origin", forward("up")),
    )
    return gateway(routes, (cluster("up", echo),))


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[GatewayEnvoy]:
    with GatewayEnvoy(_gateway(echo)) as running:
        yield running


def preflight(served: GatewayEnvoy, path: str, origin: str, method: str = "POST") -> Response:
    asked = [("origin", origin), ("access-control-request-method", method)]
    return served.get(path, asked, method="OPTIONS")


def test_a_preflight_is_answered_before_authentication(
    served: GatewayEnvoy, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = preflight(served, "/private/a", APP)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == APP
    assert answer.header("access-control-allow-methods") == "GET, POST"
    assert answer.header("access-control-allow-headers") == "content-type, apikey"
    assert answer.header("access-control-allow-credentials") == "true"
    assert answer.header("access-control-max-age") == "600"
    assert echo.requests == []


def test_a_preflight_on_a_post_only_route_is_answered(served: GatewayEnvoy) -> None:
    answer = preflight(served, "/orders/7", APP)
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == APP


def test_a_plain_options_request_on_a_post_only_route_is_no_preflight(
    served: GatewayEnvoy,
) -> None:
    assert served.get("/orders/7", method="OPTIONS").status == 404


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (APP, True),
        ("https://eu.shop.example.com", True),
        ("https://a.b.shop.example.com", True),
        ("https://shop.example.com", False),
        ("http://app.example.com", False),
        ("https://app.example.com.evil.example", False),
        ("https://evilshop.example.com", False),
        ("https://evil.example/.shop.example.com", False),
        ("https://evil.example#.shop.example.com", False),
        ("null", False),
    ],
)
def test_only_the_allowed_origins_pass(served: GatewayEnvoy, origin: str, *, allowed: bool) -> None:
    answer = preflight(served, "/private", origin)
    assert (answer.header("access-control-allow-origin") == origin) is allowed
    assert answer.header("access-control-allow-origin") in {origin, None}


def test_a_preflight_of_a_strange_origin_reaches_nothing(
    served: GatewayEnvoy, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = preflight(served, "/anyone", "https://evil.example")
    assert answer.header("access-control-allow-origin") is not None
    answer = preflight(served, "/private", "https://evil.example")
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, None)
    assert echo.requests == []


def test_an_ordinary_answer_gets_its_cors_headers(served: GatewayEnvoy) -> None:
    answer = served.get("/orders", [("origin", APP)], method="POST")
    assert answer.status == 200
    assert answer.header("access-control-allow-origin") == APP
    assert answer.header("access-control-expose-headers") == "x-request-id"


def test_a_refusal_gets_its_cors_headers_so_that_a_browser_may_read_it(
    served: GatewayEnvoy,
) -> None:
    answer = served.get("/private", [("origin", APP)])
    assert answer.status == 401
    assert answer.header("access-control-allow-origin") == APP


def test_a_route_without_a_policy_has_no_cors_headers(served: GatewayEnvoy) -> None:
    answer = served.get("/same-origin", [("origin", APP)])
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]
