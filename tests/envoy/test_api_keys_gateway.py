"""Keys and plans in the whole gateway: all filters, the xDS server, the real Envoy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import bootstrap
from support.client import Response, request
from support.envoy import EnvoyProcess, eventually
from support.gateway import cluster, forward, gateway, route
from support.keygateway import api_key
from support.upstream import EchoUpstream

from fluxgate.ir import ApiKeyIR, Gateway, KeyAuth, PlanBucket
from fluxgate.xds import names, typeurl
from fluxgate.xds.build import build_snapshot

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
FRESH = "flc_service_fresh0000000000000000000000000000"
DAY = 86_400_000


def served(upstream: EchoUpstream, *keys: ApiKeyIR, burst: int = 2) -> Gateway:
    routes = (
        route("/limited", forward("up"), key_auth=KeyAuth(), plan="small"),
        route("/scope", forward("up"), key_auth=KeyAuth(scopes=("none",))),
        route("/key", forward("up"), key_auth=KeyAuth()),
        route("/open", forward("up")),
    )
    made = gateway(
        routes, (cluster("up", upstream),), keys=keys, plans=(PlanBucket("small", 1, DAY, burst),)
    )
    return replace(made, listeners=tuple(replace(each, port=0) for each in made.listeners))


class Running:
    """One Envoy under one xDS server, in front of one upstream."""

    def __init__(self, xds: BackgroundXds, envoy: EnvoyProcess, upstream: EchoUpstream) -> None:
        self.xds, self.envoy, self.upstream = xds, envoy, upstream
        self.port = envoy.port("http")

    def publish(self, *keys: ApiKeyIR, burst: int = 2) -> None:
        self.xds.publish(build_snapshot(served(self.upstream, *keys, burst=burst)))

    def key(self, key: str, path: str = "/key", *headers: tuple[str, str]) -> Response:
        return request(self.port, path, headers=[("apikey", key), *headers])


@pytest.fixture
def running() -> Iterator[Running]:
    with EchoUpstream() as upstream, BackgroundXds() as xds:
        xds.publish(build_snapshot(served(upstream, api_key(KEY, tenant="acme"))))
        with EnvoyProcess(bootstrap(xds.port, "DELTA_GRPC"), concurrency=2) as envoy:
            yield Running(xds, envoy, upstream)


def test_one_key_more_changes_the_key_resource_and_nothing_else() -> None:
    with EchoUpstream() as upstream:
        one = build_snapshot(served(upstream, api_key(KEY)))
        two = build_snapshot(served(upstream, api_key(KEY), api_key(FRESH, "key-2")))
    changed = [
        (url, name)
        for url in typeurl.ORDER
        for name, resource in one.of_type(url).items()
        if not resource.final and two.of_type(url)[name].version != resource.version
    ]
    assert changed == [(typeurl.EXTENSION, names.API_KEY_FILTER)]


def test_refusals_have_the_one_error_shape(running: Running) -> None:
    unknown = running.key("flc_anon_x")
    assert unknown.status == 401
    assert unknown.json()["error"] == "unauthorized"
    assert unknown.json()["message"] == "The API key is not valid."
    assert unknown.header("www-authenticate") == 'ApiKey realm="fluxgate"'
    assert unknown.header("content-type") == "application/json"
    scope = running.key(KEY, "/scope")
    assert (scope.status, scope.json()["error"]) == (403, "forbidden")
    assert scope.json()["message"] == "The API key lacks the scope none."


def test_a_429_has_the_shape_and_says_when_to_come_back(running: Running) -> None:
    answers = [running.key(KEY, "/limited") for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[2].json()["error"] == "rate_limited"
    assert DAY / 1000 - 60 < int(answers[2].header("retry-after") or 0) <= DAY / 1000
    assert answers[2].header("x-ratelimit-limit") == "2"


def test_forged_identity_is_gone_on_open_and_keyed_routes(running: Running) -> None:
    forged = [(name, "forged") for name in names.IDENTITY_HEADERS]
    for path in ("/open", "/key"):
        answer = running.key(KEY, path, *forged)
        assert answer.status == 200
        assert "forged" not in answer.body.decode()


def test_keys_come_and_go_over_ads_without_touching_the_listener(running: Running) -> None:
    pattern = "listener_manager.listener_(modified|added|create_success)"
    before = running.envoy.stats(pattern)
    assert running.key(FRESH).status == 401
    running.publish(api_key(KEY), api_key(FRESH, "key-2"))
    eventually(
        lambda: all(running.key(FRESH).status == 200 for _ in range(10)), what="the fresh key works"
    )
    running.publish(api_key(FRESH, "key-2"))
    eventually(
        lambda: all(running.key(KEY).status == 401 for _ in range(10)), what="the old one stops"
    )
    assert running.envoy.stats(pattern) == before


def test_no_request_with_a_good_key_fails_while_other_keys_change(running: Running) -> None:
    done = threading.Event()
    seen: list[int] = []

    def call() -> None:
        while not done.is_set():
            seen.append(running.key(KEY).status)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        for number in range(20):
            key = f"flc_service_{number:033d}"
            running.publish(api_key(KEY), api_key(key, f"key-{number}"))
            eventually(lambda key=key: running.key(key).status == 200, what=f"key {number} works")
        eventually(lambda: len(seen) > 50, what="the calls go on")
    finally:
        done.set()
        caller.join()
    assert set(seen) == {200}
