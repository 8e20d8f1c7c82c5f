"""Routes that take API keys and tokens: the strongest verified credential decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from support.client import HeaderPairs, Response
from support.documents import CLOSED, Documents, gateway, obj, route
from support.tokens import Issuer
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

ISSUER = Issuer()
KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
NAMED = "flc_service_named0000000000000000000000000000000"
EXPIRED = "flc_service_expired00000000000000000000000000000"
LIMITED = "flx_live_limited00000000000000000000000000000000"
PLANS = [{"name": "small", "requests": 60, "burst": 2}, {"name": "large", "requests": 60000}]
CLAIMS = {"tenant": "tenant", "role": "role", "roles": ["roles"]}


def api_key(name: str, key: str, **spec: object) -> dict:
    prefix = key[: key.index("_", key.index("_") + 1) + 1]
    digest = hashlib.sha256(key.encode()).hexdigest()
    return obj("ApiKey", name, {"hash": digest, "prefix": prefix, "lastFour": key[-4:], **spec})


def jwt_auth(**config: object) -> dict:
    return {"jwt-auth": {"providers": [ISSUER.provider(claims=CLAIMS, **config)]}}


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, EchoUpstream]]:
    with EchoUpstream("data") as data, EchoUpstream("control") as control, EchoUpstream() as public:
        yield {"data": data, "control": control, "public": public}


@pytest.fixture(scope="module")
def served(upstreams: dict[str, EchoUpstream]) -> Iterator[Documents]:
    port = upstreams["public"].port
    both = {"credentials": ["ApiKey", "JWT"]}

    def classed(name: str, credential: str, upstream: str, **spec: object) -> dict:
        match = {"path": {"value": "/classes"}, "credential": credential}
        plugins = [jwt_auth()] if credential == "JWT" else []
        return route(name, upstreams[upstream].port, *plugins, matches=[match], **spec)

    acl = {"allow": {"tenants": ["acme"]}, "deny": {"subjects": ["mallory", "default/blocked"]}}
    documents = (
        gateway(plans=PLANS),
        obj("Tenant", "acme", {"plan": "large"}),
        obj("Tenant", "umbrella", {}),
        api_key("plain", KEY, tenant="acme", scopes=["keys:read"], role="key_role"),
        api_key("named", NAMED, subject="alice", tenant="acme"),
        api_key("expired", EXPIRED, expiresAt="2020-01-01T00:00:00Z"),
        api_key("limited", LIMITED, plan="small"),
        route("both", port, jwt_auth(), auth=both),
        route("either", port, jwt_auth(), auth={**both, "mode": "Optional"}),
        route("scoped", port, jwt_auth(), auth={**both, "scopes": ["keys:read"]}),
        route("planned", port, jwt_auth(), auth=both, rateLimit={"plan": "small"}),
        route("tenants", port, jwt_auth(), auth=both, tenant="acme"),
        route("plugins", port, jwt_auth(), {"key-auth": {}}),
        route("field", port, jwt_auth(), auth={"scopes": ["x"]}),
        route("open", port, jwt_auth(), auth={"mode": "None"}),
        route("keys", port, jwt_auth(), auth={"credentials": ["ApiKey"]}),
        route("tokens", port, jwt_auth(), auth={"credentials": ["JWT"]}),
        route("list", port, jwt_auth(), {"acl": acl}, auth=both),
        route("key-list", port, {"acl": acl}, auth={}),
        route("roles", port, jwt_auth(), {"acl": {"allow": {"roles": ["admin"]}}}, auth=both),
        route("denied", port, jwt_auth(), {"acl": {"deny": {"scopes": ["keys:read"]}}}, auth=both),
        route("domains", port, jwt_auth(), {
            "acl": {"allow": {"privilegeDomains": ["data_access"], "scopes": ["a", "b"]}}
        }),
        route("listed-nobody", port, {"acl": acl}),
        route("empty-list", port, {"acl": {}}, auth={}),
        route("optional-list", port, {"acl": acl}, auth={"mode": "Optional"}),
        classed("class-key", "ApiKey", "data", auth={}),
        classed("class-jwt", "JWT", "control"),
        classed("class-none", "None", "public"),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def key(text: str = KEY) -> tuple[str, str]:
    return ("apikey", text)


def identity(answer: Response) -> tuple[list[str], ...]:
    assert answer.status == 200, answer.body
    names = ("x-auth-subject", "x-tenant-id", "x-auth-key-id", "x-pg-role")
    return tuple(answer.echoed(each) for each in names)


def refused(answer: Response, status: int, words: str) -> None:
    assert (answer.status, words in answer.json()["message"]) == (status, True), answer.body
    assert set(answer.json()) == {"error", "message", "request_id"}


BY_KEY = (["default/plain"], ["acme"], ["default/plain"], ["key_role"])
BY_TOKEN = (["alice"], ["acme"], [], [])


class TestWhoDecides:
    def test_a_key_alone(self, served: Documents):
        assert identity(served.get("/both", [key()])) == BY_KEY

    def test_a_key_as_bearer(self, served: Documents):
        assert identity(served.get("/both", [("authorization", f"Bearer {KEY}")])) == BY_KEY

    def test_a_token_alone(self, served: Documents):
        assert identity(served.get("/both", [ISSUER.bearer(tenant="acme")])) == BY_TOKEN

    def test_the_token_when_both_are_there(self, served: Documents):
        answer = served.get("/both", [key(), ISSUER.bearer(tenant="acme")])
        assert identity(answer) == BY_TOKEN
        assert answer.echoed("apikey") == answer.echoed("authorization") == []

    def test_nothing_of_the_weaker_one_is_taken_over(self, served: Documents):
        answer = served.get("/scoped", [key(), ISSUER.bearer(tenant="acme", scope="other")])
        refused(answer, 403, "The token lacks the scope keys:read.")
        assert identity(served.get("/scoped", [key()])) == BY_KEY

    def test_the_plan_of_who_decides_counts(self, served: Documents):
        headers = [key(LIMITED), ISSUER.bearer(sub="unlimited")]
        assert [served.get("/both", headers).status for _ in range(5)] == [200] * 5
        alone = [served.get("/both", [key(LIMITED)]).status for _ in range(4)]
        assert alone == [200, 200, 429, 429]

    def test_a_plan_of_the_route_counts_each_caller_by_itself(self, served: Documents):
        def spend(*headers: tuple[str, str]) -> list[int]:
            return [served.get("/planned", list(headers)).status for _ in range(3)]

        assert spend(ISSUER.bearer(sub="one")) == [200, 200, 429]
        assert spend(ISSUER.bearer(sub="two")) == [200, 200, 429]
        assert spend(key()) == [200, 200, 429]

    def test_a_subject_that_reads_like_a_key_shares_no_count_with_it(self, served: Documents):
        pretender = ISSUER.bearer(sub="default/named")
        assert [served.get("/planned", [pretender]).status for _ in range(3)] == [200, 200, 429]
        assert served.get("/planned", [key(NAMED)]).status == 200


class TestDisagreement:
    @pytest.mark.parametrize(
        ("presented", "claims", "words"),
        [
            (KEY, {"tenant": "umbrella"}, "different tenants"),
            (NAMED, {"tenant": "acme", "sub": "bob"}, "different subjects"),
            (NAMED, {"tenant": "umbrella", "sub": "bob"}, "different tenants"),
        ],
    )
    def test_two_that_disagree_are_refused(
        self, served: Documents, presented: str, claims: dict, words: str
    ):
        for path in ("/both", "/either"):
            refused(served.get(path, [key(presented), ISSUER.bearer(**claims)]), 401, words)

    @pytest.mark.parametrize(
        ("presented", "claims"),
        [(NAMED, {"tenant": "acme"}), (NAMED, {}), (KEY, {}), (LIMITED, {"tenant": "umbrella"})],
    )
    def test_what_only_one_says_is_no_disagreement(
        self, served: Documents, presented: str, claims: dict
    ):
        assert served.get("/both", [key(presented), ISSUER.bearer(**claims)]).status == 200

    @pytest.mark.parametrize(
        ("headers", "words"),
        [
            ([key("flc_service_unknown"), ISSUER.bearer()], "The API key is not valid."),
            ([key(EXPIRED), ISSUER.bearer()], "The API key has expired."),
            ([key(), ISSUER.bearer(exp=1)], "Jwt is expired"),
            ([key(), ("authorization", "Bearer x.y.z")], "Jwt"),
            ([key(), ("x-api-key", NAMED), ISSUER.bearer()], "more than one API key"),
        ],
    )
    def test_one_that_cannot_be_verified_is_not_made_up_for_by_the_other(
        self, served: Documents, headers: HeaderPairs, words: str
    ):
        for path in ("/both", "/either"):
            refused(served.get(path, headers), 401, words)


class TestNone:
    def test_a_request_without_any_is_challenged_for_all(self, served: Documents):
        answer = served.get("/both")
        refused(answer, 401, "A credential is required: a token, or an API key.")
        assert answer.header("www-authenticate") == (
            'Bearer realm="fluxgate", ApiKey realm="fluxgate"'
        )

    def test_it_passes_where_they_are_optional(self, served: Documents):
        assert identity(served.get("/either")) == ([], [], [], [])

    def test_injected_headers_are_no_credential(self, served: Documents):
        forged = [("x-auth-subject", "root"), ("x-tenant-id", "acme"), ("x-pg-role", "postgres")]
        assert served.get("/both", forged).status == 401
        assert identity(served.get("/either", forged)) == ([], [], [], [])
        assert identity(served.get("/both", [*forged, ISSUER.bearer()]))[1:] == ([], [], [])


class TestWhichCount:
    def test_policies_in_force_add_up(self, served: Documents):
        assert served.get("/plugins", [key()]).status == 200
        assert served.get("/plugins", [ISSUER.bearer()]).status == 200
        assert served.get("/plugins").status == 401

    def test_auth_without_credentials_takes_those_of_the_policies(self, served: Documents):
        assert served.get("/field", [ISSUER.bearer(scope="x")]).status == 200
        assert served.get("/field", [key()]).status == 401

    def test_auth_none_switches_all_off(self, served: Documents):
        assert served.get("/open").status == 200

    def test_auth_names_exactly_what_it_takes(self, served: Documents):
        assert served.get("/keys", [key()]).status == 200
        assert served.get("/keys", [ISSUER.bearer()]).status == 401
        assert served.get("/tokens", [ISSUER.bearer()]).status == 200
        answer = served.get("/tokens", [key()])
        assert answer.status == 401
        answer = served.get("/tokens", [key(), ISSUER.bearer()])
        assert (answer.status, answer.echoed("apikey")) == (200, [])

    def test_a_tenants_route_takes_only_its_callers(self, served: Documents):
        assert served.get("/tenants", [key()]).status == 200
        assert served.get("/tenants", [ISSUER.bearer(tenant="acme")]).status == 200
        refused(served.get("/tenants", [ISSUER.bearer(tenant="umbrella")]), 403, "tenant")
        refused(served.get("/tenants", [key(LIMITED)]), 403, "The API key belongs to a tenant")


class TestAccessList:
    @pytest.mark.parametrize("path", ["/list", "/key-list"])
    def test_a_listed_key_passes(self, served: Documents, path: str):
        assert served.get(path, [key()]).status == 200
        refused(served.get(path, [key(LIMITED)]), 403, "The API key is not on this route's access")

    def test_a_listed_token_passes(self, served: Documents):
        assert served.get("/list", [ISSUER.bearer(tenant="acme")]).status == 200
        refused(served.get("/list", [ISSUER.bearer(tenant="x")]), 403, "The token is not on this")

    def test_deny_wins(self, served: Documents):
        mallory = ISSUER.bearer(tenant="acme", sub="mallory")
        refused(served.get("/list", [mallory]), 403, "The token is excluded by this route's")
        refused(served.get("/denied", [key()]), 403, "excluded")
        refused(served.get("/denied", [ISSUER.bearer(scope="keys:*")]), 403, "excluded")
        assert served.get("/denied", [ISSUER.bearer(scope="keys")]).status == 200

    def test_roles_are_the_role_or_any_of_the_roles(self, served: Documents):
        assert served.get("/roles", [ISSUER.bearer(role="admin")]).status == 200
        assert served.get("/roles", [ISSUER.bearer(roles=["user", "admin"])]).status == 200
        assert served.get("/roles", [ISSUER.bearer(roles=["user"])]).status == 403
        assert served.get("/roles", [key()]).status == 403

    def test_every_list_needs_an_entry(self, served: Documents):
        domain = "privilege_domain:data_access"
        assert served.get("/domains", [ISSUER.bearer(scope=f"{domain} b")]).status == 200
        assert served.get("/domains", [ISSUER.bearer(scope=domain)]).status == 403
        assert served.get("/domains", [ISSUER.bearer(scope="a b")]).status == 403

    def test_nobody_is_on_no_list(self, served: Documents):
        assert served.get("/optional-list").status == 401
        assert served.get("/optional-list", [key()]).status == 200

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("listed-nobody", "the route verifies no credential"),
            ("empty-list", "names nobody"),
        ],
    )
    def test_a_list_that_cannot_be_kept_closes_the_route(
        self, served: Documents, name: str, words: str
    ):
        assert served.get(f"/{name}", [key()]).status == CLOSED
        assert words in served.condition("Route", name).message


class TestClasses:
    @pytest.mark.parametrize(
        ("headers", "upstream"),
        [
            ([key()], "data"),
            ([("x-api-key", KEY)], "data"),
            ([("authorization", f"ApiKey {KEY}")], "data"),
            ([("authorization", f"Bearer {KEY}")], "data"),
            ([ISSUER.bearer()], "control"),
            ([], "echo"),
            ([("authorization", "Basic YTpi")], "echo"),
            ([key(), ISSUER.bearer()], "data"),
        ],
    )
    def test_the_same_path_leads_where_the_credential_belongs(
        self, served: Documents, headers: HeaderPairs, upstream: str
    ):
        answer = served.get("/classes", headers)
        assert (answer.status, answer.json()["upstream"]) == (200, upstream)

    @pytest.mark.parametrize(
        "headers",
        [
            [key("flc_service_unknown")],
            [key("")],
            [("authorization", "Bearer flc_service_unknown")],
            [("authorization", "Bearer x.y.z")],
            [ISSUER.bearer(exp=1)],
        ],
    )
    def test_a_bad_credential_reaches_none_of_them(
        self, served: Documents, upstreams: dict[str, EchoUpstream], headers: HeaderPairs
    ):
        for each in upstreams.values():
            each.clear()
        assert served.get("/classes", headers).status == 401
        assert all(each.requests == [] for each in upstreams.values())
