"""Keys that Envoy fetches from their issuer: kept, refreshed in the background, missed without harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import bootstrap
from support.client import request
from support.documents import Documents, gateway, obj, route, translated
from support.envoy import EnvoyProcess, eventually
from support.gateway import GatewayEnvoy
from support.tokens import Issuer
from support.upstream import Answer, EchoUpstream, RefusingUpstream

from fluxgate.ir.policies.jwt_auth import JwtProvider
from fluxgate.snapshot import Snapshot
from fluxgate.xds.build import build_snapshot

pytestmark = pytest.mark.envoy

ISSUER = Issuer()
ROTATED = Issuer(kid="next")
BARE = Issuer("https://bare.example.com")
SYMMETRIC = Issuer("https://symmetric.example.com", "HS256")


class KeyServer(EchoUpstream):
    """Publishes a key set that tests replace; while it is broken it answers 503."""

    def __init__(self, document: str) -> None:
        super().__init__("keys", self._answer)
        self.document = document
        self.broken = False

    def _answer(self, _seen: object) -> Answer:
        return Answer(503) if self.broken else Answer(200, {}, self.document.encode())


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer(ISSUER.jwks()) as server:
        yield server


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def remote(port: int, *, issuer: Issuer = ISSUER, refresh: str = "10s", **config: object) -> dict:
    backend = {"url": f"http://127.0.0.1:{port}"}
    where = {"backend": backend, "path": "/keys.json", "refresh": refresh, "timeout": "2s"}
    return {"jwt-auth": {"providers": [issuer.provider(jwks={"remote": where}, **config)]}}


def test_keys_are_fetched_before_the_first_request_and_then_kept(
    keys: KeyServer, echo: EchoUpstream
):
    with Documents(gateway(), route("r", echo.port, remote(keys.port))) as served:
        eventually(lambda: keys.requests, what="the keys were fetched")
        assert [served.get("/r", [ISSUER.bearer()]).status for _ in range(5)] == [200] * 5
        fetched = keys.requests
    assert {each.path for each in fetched} == {"/keys.json"}
    assert {each.header("host") for each in fetched} == {"127.0.0.1"}
    assert len(fetched) <= 2, "one a worker, none a request"


def impatient(*documents: dict) -> GatewayEnvoy:
    """Envoy with these documents, which fetches keys every second: less than users may ask for."""
    (served,) = translated(*documents).gateways.values()
    shared = tuple(
        replace(each, jwks=replace(each.jwks, refresh_ms=1000))
        if isinstance(each, JwtProvider)
        else each
        for each in served.shared
    )
    return GatewayEnvoy(replace(served, shared=shared))


def test_new_keys_come_and_old_ones_stay_while_the_issuer_is_away(
    keys: KeyServer, echo: EchoUpstream
):
    with impatient(gateway(), route("r", echo.port, remote(keys.port))) as served:
        assert served.get("/r", [ISSUER.bearer()]).status == 200
        assert served.get("/r", [ROTATED.bearer()]).status == 401
        keys.document = ISSUER.jwks(ROTATED)
        eventually(
            lambda: served.get("/r", [ROTATED.bearer()]).status == 200,
            timeout=30,
            what="the new key is known",
        )
        keys.broken = True
        seen = len(keys.requests)
        eventually(lambda: len(keys.requests) > seen + 2, timeout=30, what="refreshes failed")
        assert served.get("/r", [ISSUER.bearer()]).status == 200
        assert served.get("/r", [ROTATED.bearer()]).status == 200


def test_without_keys_tokens_are_refused_and_everything_else_is_served(echo: EchoUpstream):
    with RefusingUpstream() as nobody:
        documents = (
            gateway(),
            route("r", echo.port, remote(nobody.port)),
            route("open", echo.port),
        )
        with Documents(*documents) as served:
            answer = served.get("/r", [ISSUER.bearer()])
            assert (answer.status, answer.json()["error"]) == (401, "unauthorized")
            assert served.get("/r").status == 401
            assert served.get("/open").status == 200


@pytest.mark.parametrize(("alg", "status"), [("RS256", 200), ("RS512", 401), ("PS256", 401)])
def test_a_key_without_an_algorithm_leaves_the_choice_to_the_provider_not_to_the_token(
    keys: KeyServer, echo: EchoUpstream, alg: str, status: int
):
    keys.document = BARE.jwks(alg=None)
    documents = (gateway(), route("r", echo.port, remote(keys.port, issuer=BARE)))
    with Documents(*documents) as served:
        answer = served.get("/r", [BARE.bearer(alg=alg)])
        assert answer.status == status, answer.body
        if status == 401:
            assert "algorithm that is not accepted" in answer.json()["message"]


def test_a_symmetric_key_that_a_server_publishes_verifies_nothing(
    keys: KeyServer, echo: EchoUpstream
):
    keys.document = json.dumps({"keys": [SYMMETRIC.jwk(), SYMMETRIC.jwk(alg=None, kid="2")]})
    config = remote(keys.port, issuer=SYMMETRIC, algorithms=["RS256", "ES256"])
    with Documents(gateway(), route("r", echo.port, config)) as served:
        assert served.get("/r", [SYMMETRIC.bearer()]).status == 401
        assert served.get("/r", [SYMMETRIC.bearer(header={"kid": "2"})]).status == 401


def test_symmetric_algorithms_cannot_be_asked_of_a_server(keys: KeyServer, echo: EchoUpstream):
    config = remote(keys.port, issuer=SYMMETRIC)
    with Documents(gateway(), route("r", echo.port, config)) as served:
        assert served.get("/r", [SYMMETRIC.bearer()]).status == 503
        assert "no server may publish it" in served.condition("Route", "r").message


def test_a_named_backend_serves_the_keys(keys: KeyServer, echo: EchoUpstream):
    where = {"backend": {"name": "idp"}, "path": "/keys.json", "host": "id.example.com"}
    config = {"jwt-auth": {"providers": [ISSUER.provider(jwks={"remote": where})]}}
    idp = obj("Backend", "idp", {"url": f"http://127.0.0.1:{keys.port}"})
    with Documents(gateway(), idp, route("r", echo.port, config)) as served:
        assert served.get("/r", [ISSUER.bearer()]).status == 200
    assert keys.requests[0].header("host") == "id.example.com"


def snapshot(echo: EchoUpstream, *providers: dict) -> Snapshot:
    """A route ``/r`` whose Plugin trusts ``providers``; closed without any."""
    spec = {"type": "jwt-auth", "config": {"providers": list(providers)}}
    documents = [gateway(), route("r", echo.port, plugins=[{"name": "tokens"}])]
    if providers:
        documents.append(obj("Plugin", "tokens", spec))
    (served,) = translated(*documents).gateways.values()
    listeners = tuple(replace(each, port=0) for each in served.listeners)
    return build_snapshot(replace(served, listeners=listeners))


def test_issuers_come_and_go_without_touching_a_listener(echo: EchoUpstream):
    other = Issuer("https://other.example.com", kid="other")
    first, second = ISSUER.provider(), other.provider("other")
    with BackgroundXds() as xds:
        xds.publish(snapshot(echo))
        with EnvoyProcess(bootstrap(xds.port, "DELTA_GRPC"), concurrency=2) as envoy:
            port = envoy.port("http")

            def both(mine: int, others: int) -> None:
                def answers() -> bool:
                    found = [
                        request(port, "/r", headers=[each.bearer()]).status
                        for each in (ISSUER, other)
                    ]
                    return found == [mine, others]

                eventually(answers, what=f"{mine} and {others}")

            both(503, 503)
            xds.publish(snapshot(echo, first))
            both(200, 401)
            xds.publish(snapshot(echo, first, second))
            both(200, 200)
            xds.publish(snapshot(echo, second))
            both(401, 200)
            xds.publish(snapshot(echo))
            both(503, 503)
            counted = envoy.stats("listener_manager.listener_")
    assert counted["listener_manager.listener_added"] == 1
    assert counted.get("listener_manager.listener_modified", 0) == 0
    assert counted.get("listener_manager.listener_in_place_updated", 0) == 0
