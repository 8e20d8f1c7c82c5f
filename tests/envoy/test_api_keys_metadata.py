"""What the key filter tells the limits and the access log, in dynamic metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.keygateway import KeyGateway, api_key, gateway, route

from fluxgate.ir import KeyAuth, PlanBucket

pytestmark = pytest.mark.envoy

FULL, PLAIN = "sk_test_full", "sk_test_plain"
KEYS = (
    api_key(FULL, "key-full", tenant="acme", subject="svc:billing", plan="pro"),
    api_key(PLAIN, "key-plain"),
)


@pytest.fixture
def proxy() -> Iterator[KeyGateway]:
    plans = [PlanBucket(name, 1000, 1000, 1000) for name in ("pro", "demo")]
    routes = [
        route("/demo", KeyAuth(), plan="demo"),
        route("/optional", KeyAuth(required=False)),
        route("/scope", KeyAuth(scopes=("none",))),
        route("/", KeyAuth()),
    ]
    with KeyGateway(gateway(KEYS, plans), routes, access_log=True) as running:
        yield running


def logged(proxy: KeyGateway) -> dict[str, Any]:
    (line,) = proxy.envoy.access_log(count=1)
    return line


def test_a_verified_key_is_named_with_tenant_and_plan(proxy: KeyGateway) -> None:
    proxy.key(FULL)
    caller = {"key_id": "key-full", "tenant": "acme", "plan": "pro"}
    assert logged(proxy) == {"status": 200, "caller": caller}


def test_the_plan_is_the_routes_when_it_has_one(proxy: KeyGateway) -> None:
    proxy.key(FULL, "/demo")
    assert logged(proxy)["caller"]["plan"] == "demo"


def test_what_a_key_does_not_say_is_left_out(proxy: KeyGateway) -> None:
    proxy.key(PLAIN)
    assert logged(proxy) == {"status": 200, "caller": {"key_id": "key-plain"}}


def test_a_known_key_that_is_refused_is_named_too(proxy: KeyGateway) -> None:
    proxy.key(FULL, "/scope")
    line = logged(proxy)
    assert (line["status"], line["caller"]["key_id"]) == (403, "key-full")


@pytest.mark.parametrize(("path", "headers"), [("/", [("apikey", "x")]), ("/optional", [])])
def test_nobody_is_named_without_a_verified_key(
    proxy: KeyGateway, path: str, headers: list[tuple[str, str]]
) -> None:
    proxy.get(path, headers)
    assert logged(proxy)["caller"] is None
