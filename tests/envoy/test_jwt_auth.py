"""``jwt-auth``, enforced by the real Envoy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, obj, route, secret
from support.tokens import AUDIENCE, Issuer
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

ISSUER = Issuer()
OTHER = Issuer("https://other.example.com", "ES256", "other")
ALGORITHMS = ("RS384", "RS512", "PS256", "PS384", "PS512", "ES384", "ES512", "EdDSA")
SIGNERS = {alg: Issuer(f"https://{alg.lower()}.example.com", alg) for alg in ALGORITHMS}
SHARED = Issuer("https://shared.example.com", "HS256")
PLAN = {"name": "small", "requests": 60, "burst": 2}
DOMAINS = {"privilegeDomains": ["domains"], "subDomains": ["areas"]}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def jwt_auth(*providers: dict) -> dict:
    return {"jwt-auth": {"providers": list(providers)}}


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    port = echo.port
    everything = {
        "tenant": "org.tenant",
        "workspace": "workspace",
        "role": "role",
        "roles": ["realm_access.roles"],
        "plan": "plan",
        **DOMAINS,
    }
    full = ISSUER.provider(
        claims=everything,
        plan="large",
        claimHeaders=[
            {"claim": "email", "header": "X-User-Email"},
            {"claim": "https://example.com/age", "header": "x-age"},
            {"claim": "vip", "header": "x-vip"},
        ],
    )
    shared = SHARED.provider(jwks={"secretRef": {"name": "shared-keys"}})
    documents = (
        gateway(plans=[PLAN, {"name": "large", "requests": 6000}]),
        secret("shared-keys", {"jwks.json": SHARED.jwks()}),
        obj("Tenant", "acme", {}),
        route("plain", port, jwt_auth(ISSUER.provider())),
        route("full", port, jwt_auth(full)),
        route("two", port, jwt_auth(ISSUER.provider(), OTHER.provider("other"))),
        route("optional", port, jwt_auth(full), auth={"mode": "Optional"}),
        route("forward", port, jwt_auth(ISSUER.provider(forwardToken=True))),
        route("cached", port, jwt_auth(ISSUER.provider(cachedTokens=100))),
        route("short", port, jwt_auth(ISSUER.provider(maxLifetime="1m"))),
        route("endless", port, jwt_auth(ISSUER.provider(requireExpiration=False))),
        route("skewed", port, jwt_auth(ISSUER.provider(clockSkew="10m"))),
        route("anyone", port, jwt_auth(ISSUER.provider(audiences=[]))),
        route("shared", port, jwt_auth(shared)),
        route("header", port, jwt_auth(ISSUER.provider(**{"from": {"header": "X-Token"}}))),
        route("cookie", port, jwt_auth(ISSUER.provider(**{"from": {"cookie": "session"}}))),
        route("query", port, jwt_auth(ISSUER.provider(**{"from": {"query": "access_token"}}))),
        route("scoped", port, jwt_auth(full), auth={"scopes": ["orders:read", "orders:write"]}),
        route("domain", port, jwt_auth(full), auth={
            "privilegeDomain": "data_access", "subDomain": "function_deployment"
        }),
        route("audience", port, jwt_auth(ISSUER.provider(audiences=[])), auth={
            "audiences": ["mobile", AUDIENCE]
        }),
        route("acme", port, jwt_auth(full), tenant="acme"),
        route("fixed", port, jwt_auth(ISSUER.provider(tenant="acme", claims={"tenant": "t"})),
              tenant="acme"),
        route("tenantless", port, jwt_auth(ISSUER.provider()), tenant="acme"),
        route("none", port, auth={"credentials": ["JWT"]}),
        route("unpinned", port, jwt_auth(ISSUER.provider(jwks={"inline": ISSUER.jwks(alg=None)}))),
        route("no-algorithms", port, jwt_auth({**ISSUER.provider(), "algorithms": []})),
        route("no-secret", port, jwt_auth(ISSUER.provider(jwks={"secretRef": {"name": "gone"}}))),
        route("limited", port, jwt_auth({**full, "plan": "small"}), auth={}),
        *(route(alg.lower(), port, jwt_auth(each.provider())) for alg, each in SIGNERS.items()),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def refused(answer: Response, status: int, words: str) -> None:
    assert (answer.status, words in answer.json()["message"]) == (status, True), answer.body
    assert set(answer.json()) == {"error", "message", "request_id"}


def test_a_good_token_passes_and_does_not_reach_the_upstream(served: Documents):
    answer = served.get("/plain", [ISSUER.bearer()])
    assert answer.status == 200
    assert answer.echoed("authorization") == []
    assert answer.echoed("x-auth-subject") == ["alice"]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_of_a_public_key_works(served: Documents, alg: str):
    signer = SIGNERS[alg]
    assert served.get(f"/{alg.lower()}", [signer.bearer()]).status == 200
    assert served.get(f"/{alg.lower()}", [ISSUER.bearer()]).status == 401


def test_a_symmetric_key_works_from_a_secret(served: Documents):
    assert served.get("/shared", [SHARED.bearer()]).status == 200


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer "])
def test_the_scheme_is_read_in_both_common_cases(served: Documents, scheme: str):
    header = ("authorization", scheme + ISSUER.token())
    assert served.get("/plain", [header]).status == 200


def test_a_request_without_a_token_is_challenged(served: Documents):
    answer = served.get("/plain")
    refused(answer, 401, "Jwt is missing")
    assert (answer.header("www-authenticate") or "").startswith("Bearer realm=")


def test_a_bad_token_is_told_from_a_missing_one(served: Documents):
    answer = served.get("/plain", [("authorization", "Bearer x.y.z")])
    assert answer.status == 401
    assert 'error="invalid_token"' in (answer.header("www-authenticate") or "")


def test_either_of_two_issuers_will_do(served: Documents):
    assert served.get("/two", [ISSUER.bearer()]).status == 200
    assert served.get("/two", [OTHER.bearer()]).status == 200
    assert served.get("/plain", [OTHER.bearer()]).status == 401


def test_claims_become_identity_headers(served: Documents):
    answer = served.get("/full", [ISSUER.bearer(
        org={"tenant": "acme"}, workspace="blue", role="app_user", sub="user 7",
        scope="orders:read orders:write", scp=["extra"], domains=["data_access"],
    )])  # fmt: skip
    seen = {name: answer.echoed(name) for name in (
        "x-tenant-id", "x-workspace-id", "x-pg-role", "x-auth-subject", "x-auth-scopes",
        "x-auth-key-id",
    )}  # fmt: skip
    assert seen == {
        "x-tenant-id": ["acme"],
        "x-workspace-id": ["blue"],
        "x-pg-role": ["app_user"],
        "x-auth-subject": ["user%207"],
        "x-auth-scopes": ["orders:read orders:write extra privilege_domain:data_access"],
        "x-auth-key-id": [],
    }


def test_claims_become_headers_and_what_the_client_sent_under_their_names_goes(served: Documents):
    forged = [("x-user-email", "root@example.com"), ("X-Vip", "true"), ("x-vip", "yes")]
    token = ISSUER.bearer(email="a@example.com", **{"https://example.com/age": 42})
    answer = served.get("/full", [token, *forged])
    assert answer.echoed("x-user-email") == ["a@example.com"]
    assert answer.echoed("x-age") == ["42"]
    assert answer.echoed("x-vip") == []
    assert served.get("/optional", forged).echoed("x-user-email") == []


def test_a_claim_cannot_break_out_of_its_header(served: Documents):
    token = ISSUER.bearer(
        email="a\r\nx-evil: 1\u00e9%", role="a\nb", workspace="\u00fc", org={"tenant": "a b;c"}
    )
    answer = served.get("/full", [token])
    assert answer.status == 200
    assert answer.echoed("x-evil") == []
    assert answer.echoed("x-user-email") == ["a%0D%0Ax-evil: 1%C3%A9%25"]
    assert answer.echoed("x-pg-role") == ["a%0Ab"]
    assert answer.echoed("x-workspace-id") == ["%C3%BC"]
    assert answer.echoed("x-tenant-id") == ["a%20b%3Bc"]


def test_a_missing_token_passes_where_it_is_optional_and_a_bad_one_does_not(served: Documents):
    assert served.get("/optional").status == 200
    assert served.get("/optional", [ISSUER.bearer()]).echoed("x-auth-subject") == ["alice"]
    assert served.get("/optional", [ISSUER.bearer(exp=1)]).status == 401
    assert served.get("/optional", [OTHER.bearer()]).status == 401
    assert served.get("/optional", [("authorization", "BEARER " + ISSUER.token())]).status == 401


def test_another_scheme_is_left_to_the_upstream_where_tokens_are_optional(served: Documents):
    answer = served.get("/optional", [("authorization", "Basic YTpi")])
    assert answer.echoed("authorization") == ["Basic YTpi"]
    assert answer.echoed("x-auth-subject") == []


def test_a_token_may_be_forwarded(served: Documents):
    token = ISSUER.bearer()
    assert served.get("/forward", [token]).echoed("authorization") == [token[1]]


def test_a_remembered_token_still_expires(served: Documents):
    token = ISSUER.bearer()
    assert [served.get("/cached", [token]).status for _ in range(3)] == [200] * 3
    assert served.get("/cached", [ISSUER.bearer(exp=int(time.time()) - 61)]).status == 401


def test_lifetimes_are_bounded(served: Documents):
    now = int(time.time())
    assert served.get("/short", [ISSUER.bearer(exp=now + 50)]).status == 200
    assert served.get("/short", [ISSUER.bearer(exp=now + 400)]).status == 401
    assert served.get("/plain", [ISSUER.bearer(exp=None)]).status == 401
    assert served.get("/endless", [ISSUER.bearer(exp=None)]).status == 200
    assert served.get("/skewed", [ISSUER.bearer(exp=now - 300)]).status == 200
    assert served.get("/plain", [ISSUER.bearer(exp=now - 300)]).status == 401


def test_a_token_for_another_audience_is_forbidden(served: Documents):
    refused(served.get("/plain", [ISSUER.bearer(aud="else")]), 403, "Audience")
    assert served.get("/plain", [ISSUER.bearer(aud=["else", AUDIENCE])]).status == 200
    assert served.get("/anyone", [ISSUER.bearer(aud="else")]).status == 200


@pytest.mark.parametrize(
    ("path", "place"),
    [("/header", "header"), ("/cookie", "cookie"), ("/query", "query")],
)
def test_a_token_is_read_from_its_place_and_from_no_other(served: Documents, path: str, place: str):
    def call(place: str) -> Response:
        token = ISSUER.token()
        if place == "header":
            return served.get(path, [("x-token", token)])
        if place == "cookie":
            return served.get(path, [("cookie", f"a=1; session={token}; b=2")])
        if place == "query":
            return served.get(f"{path}?a=1&access_token={token}&b=2")
        return served.get(path, [("authorization", f"Bearer {token}")])

    for each in ("header", "cookie", "query", "authorization"):
        assert call(each).status == (200 if each == place else 401), each
    good = call(place)
    assert ISSUER.token()[:20] not in good.body.decode()
    if place == "cookie":
        assert good.echoed("cookie") == ["a=1; b=2"]
    if place == "query":
        assert good.json()["path"] == "/query?a=1&b=2"


def test_scopes_are_checked_as_for_keys(served: Documents):
    assert served.get("/scoped", [ISSUER.bearer(scope="orders:*")]).status == 200
    assert served.get("/scoped", [ISSUER.bearer(scp=["orders:read", "orders:write"])]).status == 200
    answer = served.get("/scoped", [ISSUER.bearer(scope="orders:read")])
    refused(answer, 403, "The token lacks the scope orders:write.")
    assert 'error="insufficient_scope", scope="orders:write"' in (
        answer.header("www-authenticate") or ""
    )


def test_domains_are_checked_as_for_keys(served: Documents):
    both = {"domains": ["data_access"], "areas": "function_deployment"}
    assert served.get("/domain", [ISSUER.bearer(**both)]).status == 200
    answer = served.get("/domain", [ISSUER.bearer(domains="data_access")])
    refused(answer, 403, "lacks the scope sub_domain:function_deployment")


def test_audiences_of_the_route_are_checked_as_for_keys(served: Documents):
    assert served.get("/audience", [ISSUER.bearer(aud="mobile")]).status == 200
    assert served.get("/audience", [ISSUER.bearer()]).status == 200
    refused(
        served.get("/audience", [ISSUER.bearer(aud=["else", "more"])]),
        403,
        "The token is for the audience else, more; this route is for",
    )


def test_a_tenants_route_takes_only_tokens_of_that_tenant(served: Documents):
    assert served.get("/acme", [ISSUER.bearer(org={"tenant": "acme"})]).status == 200
    refused(served.get("/acme", [ISSUER.bearer(org={"tenant": "x"})]), 403, "belongs to a tenant")
    refused(served.get("/acme", [ISSUER.bearer()]), 403, "belongs to a tenant")


def test_an_issuer_may_stand_for_one_tenant_only(served: Documents):
    assert served.get("/fixed", [ISSUER.bearer()]).echoed("x-tenant-id") == ["acme"]
    assert served.get("/fixed", [ISSUER.bearer(t="acme")]).status == 200
    refused(served.get("/fixed", [ISSUER.bearer(t="x")]), 401, "may not speak for")


def test_callers_with_tokens_are_counted_by_subject(served: Documents):
    def spend(subject: str, times: int, **claims: object) -> list[int]:
        token = ISSUER.bearer(sub=subject, **claims)
        return [served.get("/limited", [token]).status for _ in range(times)]

    assert spend("counted", 4) == [200, 200, 429, 429]
    assert spend("another", 2) == [200, 200]
    assert spend("rich", 4, plan="large") == [200] * 4
    assert spend("liar", 4, plan="unknown") == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", "auth.credentials: JWT needs a policy of type jwt-auth"),
        ("unpinned", "config.providers[0].jwks.inline: keys[0]: needs alg"),
        ("no-algorithms", "config.providers[0].algorithms"),
        ("no-secret", "config.providers[0].jwks.secretRef: Secret default/gone"),
        ("tenantless", "the provider 'main' says no tenant"),
    ],
)
def test_what_cannot_be_verified_closes_the_route_and_names_the_field(
    served: Documents, name: str, words: str
):
    assert served.get(f"/{name}", [ISSUER.bearer()]).status == CLOSED
    found = [served.condition("Route", name, of) for of in ("Accepted", "ResolvedRefs")]
    assert any(not each.status and words in each.message for each in found), found


def test_keys_in_place_reach_envoy_without_what_verification_does_not_need(served: Documents):
    assert '"d"' not in json.dumps(ISSUER.jwk())
    assert "SecretBytes(<redacted>)" in repr(served.gateway.shared)
