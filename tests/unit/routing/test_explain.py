"""What ``explain`` says."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fluxgate.ir import (
    CredentialClass,
    DirectResponse,
    HTTPRoute,
    PathKind,
    PathMatch,
    RouteMatch,
    RouteTable,
    ValueKind,
    ValueMatch,
    VirtualHost,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.explain import Explanation, explain, request_of


def route(name: str, match: RouteMatch) -> HTTPRoute:
    return HTTPRoute(
        f"route/default/{name}/0", ObjectRef("Route", "default", name), match, DirectResponse(200)
    )


ORDERS = PathMatch(PathKind.PREFIX, "/orders")
TABLE = RouteTable(
    "table",
    (
        VirtualHost(
            "*.example.com",
            (
                route("exact", RouteMatch(PathMatch(PathKind.EXACT, "/orders/new"))),
                route("post", RouteMatch(ORDERS, methods=("POST",))),
                route(
                    "tenant", RouteMatch(ORDERS, headers=(ValueMatch("x-t", ValueKind.EXACT, "1"),))
                ),
                route("keyed", RouteMatch(ORDERS, credential=CredentialClass.API_KEY)),
                route("any", RouteMatch(ORDERS)),
            ),
        ),
    ),
)


def ask(method: str, url: str, *headers: tuple[str, str]) -> Explanation:
    return explain(TABLE, request_of(method, url, headers), ("flc_",))


def test_the_route_taken_and_why_each_earlier_one_lost() -> None:
    found = ask("get", "http://api.example.com:8080/a/../orders/1?x=1")
    assert (found.route, found.path, found.host) == (
        "route/default/any/0",
        "/orders/1",
        "api.example.com",
    )
    assert [(each.condition, each.name) for each in found.tried] == [
        ("path", ""),
        ("method", ""),
        ("header", "x-t"),
        ("credential", ""),
    ]
    assert found.virtual_host == "*.example.com"


@pytest.mark.parametrize(
    "field",
    [
        ("apikey", "k"),
        ("X-Api-Key", "k"),
        ("Authorization", "APIKEY k"),
        ("authorization", "bearer flc_k"),
    ],
)
def test_every_accepted_place_of_a_key_chooses_the_route_for_keys(field: tuple[str, str]) -> None:
    found = ask("GET", "http://api.example.com/orders", field)
    assert (found.route, found.credential) == ("route/default/keyed/0", "ApiKey")


def test_a_bearer_token_without_a_known_prefix_is_a_jwt() -> None:
    found = ask("GET", "http://api.example.com/orders", ("authorization", "Bearer e.y.j"))
    assert (found.route, found.credential) == ("route/default/any/0", "JWT")


def test_an_unknown_host_says_so() -> None:
    found = ask("GET", "http://example.org/orders")
    assert (found.route, found.virtual_host) == ("", "")
    assert "example.org" in found.reason


def test_a_path_nobody_takes_says_so() -> None:
    assert "no route of this host matches the path" in ask("GET", "http://a.example.com/x").reason


def test_an_escaped_slash_is_answered_by_the_listener() -> None:
    assert "400" in ask("GET", "http://a.example.com/orders%2f1").reason


def test_an_explanation_is_plain_data() -> None:
    assert (
        json.loads(json.dumps(asdict(ask("GET", "http://a.example.com/orders"))))["method"] == "GET"
    )


def test_a_url_without_a_host_is_refused() -> None:
    with pytest.raises(ValueError, match="names no host"):
        request_of("GET", "/orders")
