"""What a gRPC client without a proxy may reach: nothing that Envoy would have to enforce."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.route.v3 import route_pb2 as route_v3
from support.gateway import LISTENER, ORIGIN, cluster

from fluxgate.ir import (
    ApiKeyTable,
    Cluster,
    CredentialClass,
    EndpointIR,
    Forward,
    Gateway,
    HTTPRoute,
    KeyAuth,
    ListenerTLSIR,
    LoadBalancer,
    MirrorIR,
    Override,
    PathKind,
    PathMatch,
    RouteMatch,
    RouteTable,
    StickyCookie,
    ValueKind,
    ValueMatch,
    VirtualHost,
    WeightedCluster,
)
from fluxgate.xds import typeurl
from fluxgate.xds.proxyless import build_proxyless

PREFIX = PathMatch(PathKind.PREFIX, "/a.B")
OPEN = HTTPRoute("open", ORIGIN, RouteMatch(PREFIX), Forward((WeightedCluster("c", 1),)))
ANY = replace(OPEN, name="any", match=RouteMatch(PathMatch(PathKind.PREFIX, "/")))


def gateway(*routes: HTTPRoute, host: str = "a.example.com", **fields: Any) -> Gateway:
    return Gateway(
        **{
            "name": "main",
            "origin": ORIGIN,
            "listeners": (LISTENER,),
            "route_tables": (RouteTable("main", (VirtualHost(host, routes),)),),
            "clusters": (cluster("c", protocol="HTTP2"),),
            "api_keys": ApiKeyTable(()),
            "plans": (),
            "proxyless": True,
            **fields,
        }
    )


def forwarding(**fields: Any) -> HTTPRoute:
    return replace(OPEN, name="closed", action=replace(OPEN.action, **fields))


def names(made: Gateway) -> list[str]:
    return [each.name for each in build_proxyless(made) if each.type_url == typeurl.LISTENER]


def actions(made: Gateway) -> list[tuple[str, str | None]]:
    (table,) = [each for each in build_proxyless(made) if each.type_url == typeurl.ROUTE]
    message = route_v3.RouteConfiguration.FromString(table.payload)
    return [(each.name, each.WhichOneof("action")) for each in message.virtual_hosts[0].routes]


def test_a_host_is_served_with_and_without_its_port() -> None:
    assert names(gateway(OPEN)) == ["a.example.com", "a.example.com:8080"]


@pytest.mark.parametrize("host", ["*", "*.example.com"])
def test_a_wildcard_host_is_not_served(host: str) -> None:
    assert names(gateway(OPEN, host=host)) == []


@pytest.mark.parametrize(
    "closed",
    [
        replace(OPEN, name="closed", key_auth=KeyAuth()),
        replace(OPEN, name="closed", plan="demo"),
        replace(OPEN, name="closed", match=RouteMatch(PREFIX, credential=CredentialClass.API_KEY)),
        replace(OPEN, name="closed", action=Forward((WeightedCluster("http1", 1),))),
        forwarding(host_rewrite="x"),
        forwarding(mirrors=(MirrorIR("c", 100),)),
        forwarding(overrides=(Override((ValueMatch("x", ValueKind.PRESENT),), "c"),)),
        forwarding(choose_by_hash=True),
        forwarding(sticky_cookie=StickyCookie("s")),
    ],
    ids=[
        *("authentication", "plan", "credential class", "unusable cluster", "rewrite", "mirror"),
        *("canary by header", "sticky by hash", "sticky by cookie"),
    ],
)
def test_a_route_that_envoy_must_handle_is_closed_and_never_falls_through(closed: Any) -> None:
    found = actions(gateway(closed, ANY))
    assert found == [("closed", "non_forwarding_action")] * 2 + [("any", "route")]


@pytest.mark.parametrize(
    "unusable",
    [
        cluster("c", protocol="HTTP1"),
        cluster("c", protocol="Auto"),
        cluster("c", protocol="HTTP2", load_balancer=LoadBalancer("Maglev")),
        cluster("c", protocol="HTTP2", endpoints=(EndpointIR("unix:///run/a.sock", 0),)),
    ],
    ids=["HTTP/1.1", "negotiated", "Maglev", "Unix socket"],
)
def test_a_pool_that_a_client_cannot_use_closes_its_routes(unusable: Cluster) -> None:
    assert build_proxyless(gateway(OPEN, clusters=(unusable,))) == ()


def test_a_route_for_other_methods_or_with_a_query_can_match_no_call() -> None:
    query = (ValueMatch("q", ValueKind.PRESENT),)
    get = replace(OPEN, name="get", match=RouteMatch(PREFIX, methods=("GET",)))
    asks = replace(OPEN, name="asks", match=RouteMatch(PREFIX, query=query))
    assert actions(gateway(get, asks, ANY)) == [("any", "route")]


def test_a_listener_that_asks_for_client_certificates_gives_no_hosts() -> None:
    listener = replace(LISTENER, tls=ListenerTLSIR(("cert",), client_ca="ca"))
    assert build_proxyless(gateway(OPEN, listeners=(listener,))) == ()
