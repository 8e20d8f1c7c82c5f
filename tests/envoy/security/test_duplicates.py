"""Credentials given twice, in two places or in two spellings: one is used, or none."""

from __future__ import annotations

import pytest
from support.http2 import http2_request, pseudo
from support.security import World
from support.tokens import Issuer

pytestmark = pytest.mark.envoy

UNKNOWN = "flc_service_unknown"


@pytest.mark.parametrize("path", ["/keys", "/private", "/optional"])
@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", "KEY"), ("apikey", "KEY")],
        [("apikey", "KEY"), ("apikey", UNKNOWN)],
        [("apikey", UNKNOWN), ("apikey", "KEY")],
        [("apikey", f"KEY, {UNKNOWN}")],
        [("apikey", "KEY"), ("x-api-key", UNKNOWN)],
        [("apikey", UNKNOWN), ("x-api-key", "KEY")],
        [("apikey", "KEY"), ("authorization", f"ApiKey {UNKNOWN}")],
        [("apikey", "KEY"), ("authorization", f"Bearer {UNKNOWN}")],
        [("authorization", "ApiKey KEY"), ("authorization", f"ApiKey {UNKNOWN}")],
        [("authorization", "Bearer KEY"), ("authorization", "Basic YTpi")],
        [("authorization", "Basic YTpi"), ("authorization", "Bearer KEY")],
        [("authorization", f"Bearer KEY, Bearer {UNKNOWN}")],
        [("apikey", ""), ("x-api-key", "KEY")],
    ],
    ids=repr,
)
def test_keys_that_are_not_one_key_are_refused(
    world: World, path: str, headers: list[tuple[str, str]]
):
    sent = [(name, value.replace("KEY", world.key)) for name, value in headers]
    assert world.get(path, sent).status == 401
    assert world.seen() == []


@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", "KEY"), ("x-api-key", "KEY")],
        [("apikey", "KEY"), ("authorization", "Bearer KEY")],
    ],
    ids=repr,
)
def test_the_same_key_in_two_places_is_one_key(world: World, headers: list[tuple[str, str]]):
    sent = [(name, value.replace("KEY", world.key)) for name, value in headers]
    assert world.get("/keys", sent).status == 200


@pytest.mark.parametrize("path", ["/tokens", "/private", "/optional"])
class TestTokens:
    def test_two_in_one_header_are_refused(self, world: World, rsa_issuer: Issuer, path: str):
        one, other = rsa_issuer.token(), rsa_issuer.token(sub="root")
        for value in (f"Bearer {one}, Bearer {other}", f"Bearer {one},{other}"):
            assert world.get(path, [("authorization", value)]).status == 401
        assert world.seen() == []

    def test_two_headers_are_refused(self, world: World, rsa_issuer: Issuer, path: str):
        for other in (rsa_issuer.bearer(sub="root"), rsa_issuer.bearer(), ("authorization", "x")):
            for headers in ([rsa_issuer.bearer(), other], [other, rsa_issuer.bearer()]):
                assert world.get(path, headers).status == 401
        assert world.seen() == []

    def test_two_fields_over_http2_are_refused(self, world: World, rsa_issuer: Issuer, path: str):
        fields = [*pseudo(path), rsa_issuer.bearer(), rsa_issuer.bearer(sub="root")]
        assert http2_request(world.port, fields).status == 401
        assert world.seen() == []

    def test_a_token_behind_another_scheme_is_refused(
        self, world: World, rsa_issuer: Issuer, path: str
    ):
        token = rsa_issuer.token()
        for value in (f"Basic YTpi, Bearer {token}", f"Bearer Bearer {token}"):
            assert world.get(path, [("authorization", value)]).status == 401
        assert world.seen() == []

    def test_a_token_in_the_query_or_a_cookie_is_none(
        self, world: World, rsa_issuer: Issuer, path: str
    ):
        token = rsa_issuer.token()
        answer = world.get(f"{path}?access_token={token}", [("cookie", f"access_token={token}")])
        assert answer.status == (200 if path == "/optional" else 401)
        if answer.status == 200:
            assert answer.echoed("x-auth-subject") == []


def test_a_scheme_inside_a_value_verifies_nobody(world: World, rsa_issuer: Issuer):
    header = ("authorization", f"Basic Bearer {rsa_issuer.token()}")
    assert world.get("/tokens", [header]).status == 401
    answer = world.get("/optional", [header])
    assert answer.status == 401 or answer.echoed("x-auth-subject") == []


def test_a_key_and_a_token_that_agree_are_one_caller(world: World, rsa_issuer: Issuer):
    headers = [("apikey", world.key), rsa_issuer.bearer(tenant="acme")]
    answer = world.get("/private", headers)
    assert (answer.status, answer.echoed("x-auth-subject")) == (200, ["alice"])
    headers[1] = rsa_issuer.bearer(tenant="umbrella")
    assert world.get("/private", headers).status == 401


@pytest.mark.parametrize(
    "query",
    ["apikey=KEY&apikey=KEY", f"apikey=KEY&apikey={UNKNOWN}", "apikey=KEY&apikey=", "apikey[]=KEY",
     "APIKEY=KEY", "%61pikey=KEY", "apikey%3DKEY", "apikey;x=KEY", "apikey=KEY%00"],
)  # fmt: skip
def test_a_query_holds_one_key_under_its_exact_name(world: World, query: str):
    assert world.get(f"/realtime?{query.replace('KEY', world.key)}").status == 401
    assert world.get(f"/realtime?apikey={world.key}").status == 200
