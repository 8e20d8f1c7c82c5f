"""``explain`` for a whole gateway, on hand-made IR."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fluxgate.ir import (
    ApiKeyTable,
    DirectResponse,
    Forward,
    Gateway,
    HTTPRoute,
    KeyAuth,
    ListenerIR,
    MirrorIR,
    Override,
    PathKind,
    PathMatch,
    PolicyOrigin,
    RouteMatch,
    RouteTable,
    ValueKind,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from fluxgate.resources import ObjectRef
from fluxgate_cli.control.models import ExplainReply, ExplainRequest
from fluxgate_cli.errors import UsageError
from fluxgate_cli.explaining import explain_request


def route(name: str, path: str, **fields: object) -> HTTPRoute:
    given: dict[str, object] = {
        "name": f"route/default/{name}/0",
        "origin": ObjectRef("Route", "default", name),
        "match": RouteMatch(PathMatch(PathKind.PREFIX, path), methods=("GET",)),
        "action": Forward((WeightedCluster("orders", 1),)),
    }
    return HTTPRoute(**{**given, **fields})  # type: ignore[arg-type]


ORDERS = route("orders", "/orders", key_auth=KeyAuth(scopes=("orders:read",)), plan="demo")
CANARY = route(
    "canary",
    "/canary",
    action=Forward(
        (WeightedCluster("a", 3), WeightedCluster("b", 1)),
        overrides=(Override((ValueMatch("x-canary", ValueKind.PRESENT),), "b"),),
        mirrors=(MirrorIR("c", 12.5),),
    ),
)
GONE = route("gone", "/", action=DirectResponse(410, "moved away"))
GATEWAY = Gateway(
    name="main",
    origin=ObjectRef("GatewayConfig", "default", "main"),
    listeners=(ListenerIR("http", "0.0.0.0", 8080, "t1"), ListenerIR("inner", "::", 9090, "t2")),
    route_tables=(
        RouteTable("t1", (VirtualHost("*", (ORDERS, CANARY, GONE)),)),
        RouteTable("t2", (VirtualHost("*", (GONE,)),)),
    ),
    clusters=(),
    api_keys=ApiKeyTable(("flx_live_",)),
    plans=(),
)


def asked(method: str, url: str, *headers: tuple[str, str]) -> ExplainReply:
    return explain_request(GATEWAY, ExplainRequest(method=method, url=url, headers=headers))


def test_the_route_that_wins_is_named_with_its_object_and_policies() -> None:
    reply = asked("GET", "http://api.example.com/orders/1?x=1")
    assert reply.object == "Route default/orders"
    assert reply.action == "forwards to orders"
    assert reply.policies == (
        "API key required", "scopes orders:read", "rate limit of plan demo", "timeout 30000 ms",
    )  # fmt: skip
    assert (reply.host, reply.path, reply.query) == ("api.example.com", "/orders/1", "x=1")


def test_routes_tried_before_say_why_they_lost() -> None:
    reply = asked("POST", "http://api.example.com/orders")
    assert reply.route == ""
    assert [(each.object, each.condition) for each in reply.tried] == [
        ("Route default/orders", "method"),
        ("Route default/canary", "path"),
        ("Route default/gone", "method"),
    ]
    assert "404" in reply.reason


def test_a_share_of_each_destination_is_shown() -> None:
    assert asked("GET", "/canary").action == "forwards to a (75 %), b (25 %)"


def test_who_is_sent_elsewhere_and_what_is_copied_are_shown() -> None:
    policies = asked("GET", "http://127.0.0.1:8080/canary").policies
    assert "x-canary present: to b" in policies
    assert "12.5 % mirrored to c" in policies


def test_a_direct_answer_is_shown() -> None:
    assert asked("GET", "/elsewhere").action == "answers 410: moved away"


def test_a_path_alone_is_a_request_for_any_host() -> None:
    assert asked("GET", "/orders").host == "localhost"


@pytest.mark.parametrize(
    ("url", "listener"),
    [("http://h.example.com:9090/", "inner"), ("http://h.example.com:1/", "http"), ("/", "http")],
)
def test_the_port_chooses_the_listener(url: str, listener: str) -> None:
    assert asked("GET", url).listener == listener


@pytest.mark.parametrize("url", ["orders", "http://h.example.com:port/", "http:///x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        asked("GET", url)


def test_a_key_of_a_known_prefix_is_seen() -> None:
    reply = asked("GET", "/orders", ("Authorization", "Bearer flx_live_x"))
    assert reply.credential == "ApiKey"


def test_the_policies_in_force_are_shown_in_envoys_order_with_where_they_come_from() -> None:
    wide, near = ObjectRef("Plugin", "default", "wide"), ObjectRef("Plugin", "default", "near")
    chain = (
        PolicyOrigin("cors", ObjectRef("Tenant", "default", "acme")),
        PolicyOrigin("ip-restriction", near, (wide,)),
        PolicyOrigin("key-auth", ObjectRef("Route", "default", "orders")),
        PolicyOrigin("rate-limit", wide),
    )
    turned = tuple(sorted(chain, key=lambda link: link.type, reverse=True))
    reply = explain_request(
        replace(
            GATEWAY,
            route_tables=(RouteTable("t1", (VirtualHost("*", (replace(ORDERS, chain=turned),)),)),),
        ),
        ExplainRequest(method="GET", url="/orders"),
    )
    assert [each.type for each in reply.chain] == [
        "cors", "ip-restriction", "key-auth", "rate-limit",
    ]  # fmt: skip
    assert reply.chain[0].object == "Tenant default/acme"
    assert reply.chain[1].appended_to == ("Plugin default/wide",)
