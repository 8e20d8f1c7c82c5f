"""Rules of Ingresses in the real Envoy: hosts, path types, and what comes first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.gateway import GatewayEnvoy
from support.ingresses import Shop, default, ingress, path, rule
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

SERVICES = ("web", "first", "second", "wild", "fallback")


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Shop, GatewayEnvoy]]:
    """Two Ingresses in one Envoy; every Service is an upstream that says its name."""
    upstreams = {name: EchoUpstream(name) for name in SERVICES}
    shop = Shop()
    for name, upstream in upstreams.items():
        upstream.__enter__()
        shop.service(name, endpoint=upstream.port)
    shop.put(
        ingress(
            "a",
            rule(
                "a.example.com",
                path("/foo", "first", "Exact"),
                path("/foo", "second"),
                path("/aaa/bbb/", "web"),
                path("/aaa", "first"),
            ),
            rule("*.example.com", path("/", "wild")),
        ),
        ingress("b", rule("", path("/all", "second")), defaultBackend=default("fallback")),
    )
    try:
        with GatewayEnvoy(shop.translated().gateways["edge/main"]) as envoy:
            yield shop, envoy
    finally:
        for upstream in upstreams.values():
            upstream.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("host", "target", "expected"),
    [
        ("a.example.com", "/foo", "first"),
        ("a.example.com", "/foo?x=/", "first"),
        ("a.example.com", "/foo/", "second"),
        ("A.Example.Com", "/foo/bar", "second"),
        ("a.example.com:8080", "/aaa/bbb", "web"),
        ("a.example.com", "/aaa/bbb/", "web"),
        ("a.example.com", "/aaa/bbb/ccc", "web"),
        ("a.example.com", "/aaa/bbbxyz", "first"),
        ("b.example.com", "/aaa", "wild"),
        ("B.example.com:9999", "/aaa", "wild"),
        ("c.b.example.com", "/aaa", "fallback"),
        ("c.b.example.com", "/all/x", "second"),
        ("example.com", "/aaa", "fallback"),
        ("other.example.org", "/all", "second"),
        ("other.example.org", "/", "fallback"),
    ],
)
def test_a_request_goes_where_the_rules_say(
    site: tuple[Shop, GatewayEnvoy], host: str, target: str, expected: str
) -> None:
    shop, envoy = site
    answer = envoy.get(target, headers=[("host", host)])
    assert answer.status == 200
    assert answer.json()["upstream"] == expected
    assert shop.answers(f"{host}{target.partition('?')[0]}") == expected
