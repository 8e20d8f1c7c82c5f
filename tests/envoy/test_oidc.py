"""``oidc``: a browser logs in at a real OpenID provider through the real Envoy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from support.browser import browser
from support.certificates import Authority
from support.documents import CLOSED, Documents, gateway, obj, route, secret, tls_secret
from support.envoy import eventually
from support.openid import Client, OpenIdProvider, Provider
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
APP, LOGIN = "app.example.com", "login.example.com"
PATHS = (
    *("app", "access", "id", "either", "optional", "other-client", "other-issuer", "claims"),
    *("tenants", "tenant-claim"),
)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def provider(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenIdProvider]:
    callbacks = tuple(f"https://{APP}/{path}/callback" for path in PATHS)
    client = Client("site", "s3cret", callbacks, "client_secret_basic")
    folder: Path = tmp_path_factory.mktemp("provider")
    with OpenIdProvider(LOGIN, authority.issue(LOGIN), folder, client) as running:
        yield running


def documents(echo: EchoUpstream, provider: OpenIdProvider, authority: Authority) -> list[Any]:
    def login(name: str, /, spec: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
        return route(
            name,
            echo.port,
            {
                "oidc": {
                    **provider.endpoints(),
                    "backend": {"name": "provider"},
                    "clientId": "site",
                    "clientSecretRef": {"name": "login"},
                    "callbackPath": f"/{name}/callback",
                    "logoutPath": f"/{name}/logout",
                    **config,
                }
            },
            **(spec or {}),
        )

    listener = {
        "name": "http",
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "web"}]},
    }
    key = {"hash": hashlib.sha256(KEY.encode()).hexdigest(), "prefix": "flc_service_"}
    tls = {"serverName": LOGIN, "caCertificateRef": {"name": "ca"}}
    claims = {"subject": "email", "roles": ["realm.roles"], "scopes": ["groups"]}
    return [
        gateway(listeners=[listener]),
        tls_secret("web", authority.issue(APP)),
        secret("ca", {"ca.crt": authority.pem}),
        secret("login", {"client-secret": "s3cret\n"}),
        secret("empty", {"client-secret": "\n"}),
        secret("short", {"client-secret": "s3cret", "cookie-secret": "short"}),
        obj("Backend", "provider", {"url": f"https://127.0.0.1:{provider.port}", "tls": tls}),
        obj("ApiKey", "key", {**key, "lastFour": "Z012"}),
        route("open", echo.port),
        login("app"),
        login("access", forwardToken="AccessToken"),
        login("id", forwardToken="IdToken"),
        login("either", {"auth": {"credentials": ["OIDC", "ApiKey"]}}),
        login("optional", {"auth": {"mode": "Optional"}}),
        login("other-client", clientId="another"),
        login("other-issuer", issuer="https://elsewhere.example.com"),
        login("claims", {"auth": {"scopes": ["staff"]}}, claims=claims),
        obj("Tenant", "acme", {}),
        login("tenants", {"tenant": "acme"}),
        login("tenant-claim", {"tenant": "acme"}, claims={"tenant": "org"}),
        login("no-way-back", callbackPath="/elsewhere"),
        login("no-openid", scopes=["email"]),
        login("no-secret", clientSecretRef={"name": "missing"}),
        login("empty-secret", clientSecretRef={"name": "empty"}),
        login("short-secret", clientSecretRef={"name": "short"}),
        login("no-backend", backend={"name": "missing"}),
    ]


@pytest.fixture(scope="module")
def served(
    echo: EchoUpstream, provider: OpenIdProvider, authority: Authority
) -> Iterator[Documents]:
    with Documents(*documents(echo, provider, authority)) as running:
        yield running


@pytest.fixture
def state(provider: OpenIdProvider) -> Provider:
    """What the provider knows, as at its start."""
    fresh = provider.state
    fresh.user, fresh.lifetime, fresh.audience, fresh.issuer = (
        {"sub": "user-1"},
        3600,
        "",
        provider.origin,
    )
    fresh.new_id_token = True
    fresh.tokens.clear()
    fresh.codes.clear()
    fresh.grants.clear()
    fresh.sessions_ended.clear()
    return fresh


@pytest.fixture
def user(
    served: Documents, provider: OpenIdProvider, authority: Authority, state: Provider
) -> Iterator[httpx.Client]:
    assert state.tokens == []
    with browser(authority.pem, {APP: served.port, LOGIN: provider.port}) as client:
        yield client


def page(name: str, rest: str = "/page") -> str:
    return f"https://{APP}/{name}{rest}"


def echoed(answer: httpx.Response, name: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [value for key, value in answer.json()["headers"] if key == name]


def change(user: httpx.Client, part: str) -> None:
    """Change the last characters of a cookie of the session."""
    for cookie in user.cookies.jar:
        if cookie.name.endswith(part):
            assert cookie.value
            cookie.value = cookie.value[:-2] + ("11" if cookie.value[-2:] != "11" else "22")


def forget(user: httpx.Client, part: str) -> None:
    """Remove a cookie of the session."""
    for cookie in list(user.cookies.jar):
        if cookie.name.endswith(part):
            user.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)


class TestLogin:
    def test_a_browser_comes_back_logged_in_to_the_page_it_asked_for(
        self, user: httpx.Client
    ) -> None:
        answer = user.get(page("app", "/page?a=1&b=%2F"))
        hosts = [each.url.host for each in answer.history]
        assert hosts == [APP, LOGIN, APP]
        assert str(answer.url) == page("app", "/page?a=1&b=%2F")
        assert echoed(answer, "x-auth-subject") == ["user-1"]

    def test_the_next_page_needs_no_login(self, user: httpx.Client, state: Provider) -> None:
        user.get(page("app"))
        assert user.get(page("app", "/next")).history == []
        assert state.grants == ["authorization_code"]

    def test_the_code_is_bound_to_the_browser_by_pkce_and_state(self, user: httpx.Client) -> None:
        asked = user.get(page("app"), follow_redirects=False)
        query = parse_qs(urlsplit(asked.headers["location"]).query)
        assert query["code_challenge_method"] == ["S256"]
        assert len(query["code_challenge"][0]) == 43
        assert query["redirect_uri"] == [page("app", "/callback")]
        assert query["scope"] == ["openid"]
        assert query["state"][0]

    def test_cookies_are_for_this_host_and_no_script(self, user: httpx.Client) -> None:
        user.get(page("app"), follow_redirects=False)
        answer = user.get(page("app"))
        set_by = [each for step in answer.history for each in step.headers.get_list("set-cookie")]
        kept = [each for each in set_by if "deleted" not in each]
        assert kept
        for cookie in kept:
            assert cookie.startswith("__Host-fluxgate-")
            attributes = {part.strip().lower() for part in cookie.split(";")}
            assert {"secure", "httponly", "path=/", "samesite=lax"} <= attributes

    def test_no_cookie_shows_a_token(self, user: httpx.Client, state: Provider) -> None:
        user.get(page("app"))
        (token,) = state.tokens
        values = [cookie.value or "" for cookie in user.cookies.jar]
        assert not any(token.access in each or token.refresh in each for each in values)
        assert not any(each.startswith("eyJ") for each in values)

    def test_a_script_is_told_so_instead_of_being_sent_to_a_login_page(
        self, user: httpx.Client
    ) -> None:
        for headers in (
            {"sec-fetch-mode": "cors"},
            {"x-requested-with": "XMLHttpRequest"},
            {"content-type": "application/grpc"},
        ):
            answer = user.get(page("app"), headers=headers, follow_redirects=False)
            assert "location" not in answer.headers
            if "content-type" in headers:
                assert answer.headers["grpc-status"] == "16"
            else:
                assert answer.status_code == 401
                assert answer.json()["error"] == "unauthorized"


class TestWhatUpstreamsGet:
    def test_neither_tokens_nor_the_sessions_cookies_but_all_others(
        self, user: httpx.Client
    ) -> None:
        user.cookies.set("theme", "dark", domain=APP)
        answer = user.get(page("app"))
        assert echoed(answer, "cookie") == ["theme=dark"]
        assert echoed(answer, "authorization") == []
        assert "eyJ" not in answer.text

    def test_the_access_token_where_the_policy_says_so(
        self, user: httpx.Client, state: Provider
    ) -> None:
        answer = user.get(page("access"))
        (token,) = state.tokens
        assert echoed(answer, "authorization") == [f"Bearer {token.access}"]

    def test_the_id_token_where_the_policy_says_so(
        self, user: httpx.Client, state: Provider
    ) -> None:
        (value,) = echoed(user.get(page("id")), "authorization")
        claims = jwt.decode(value.removeprefix("Bearer "), state.key).claims
        assert (claims["sub"], claims["aud"]) == ("user-1", ["site"])

    def test_nothing_that_a_client_forges(self, user: httpx.Client) -> None:
        user.get(page("app"))
        forged = {"x-auth-subject": "root", "x-fluxgate-id-token": "a.b.c", "authorization": "B"}
        answer = user.get(page("app"), headers=forged)
        assert echoed(answer, "x-auth-subject") == ["user-1"]
        assert echoed(answer, "x-fluxgate-id-token") == []
        assert echoed(answer, "authorization") == []


class TestSessions:
    def test_a_session_that_ran_out_goes_on_by_its_refresh_token(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.lifetime = 1
        user.get(page("app"))
        state.lifetime = 3600
        answer = eventually(
            lambda: (found := user.get(page("app"))) and "refresh_token" in state.grants and found,
            what="the refresh",
        )
        assert state.grants == ["authorization_code", "refresh_token"]
        assert answer.history == []
        assert echoed(user.get(page("app")), "x-auth-subject") == ["user-1"]

    def test_a_session_without_a_refresh_token_left_logs_in_anew(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.lifetime = 1
        user.get(page("app"))
        state.tokens.clear()
        state.lifetime = 3600
        answer = eventually(
            lambda: (found := user.get(page("app"))).history and found, what="the new login"
        )
        assert LOGIN in [each.url.host for each in answer.history]
        assert echoed(answer, "x-auth-subject") == ["user-1"]

    def test_logging_out_ends_the_session_here_and_at_the_provider(
        self, user: httpx.Client, state: Provider
    ) -> None:
        user.get(page("app"))
        answer = user.get(page("app", "/logout"), follow_redirects=False)
        assert urlsplit(answer.headers["location"]).hostname == LOGIN
        user.get(answer.headers["location"], follow_redirects=False)
        (ended,) = state.sessions_ended
        assert ended["client_id"] == "site"
        assert ended["post_logout_redirect_uri"] == f"https://{APP}/"
        claims = jwt.decode(ended["id_token_hint"], state.key).claims
        assert claims["sub"] == "user-1"
        assert [each.url.host for each in user.get(page("app")).history] == [APP, LOGIN, APP]

    def test_a_session_is_of_one_policy_alone(self, user: httpx.Client, state: Provider) -> None:
        user.get(page("app"))
        assert user.get(page("access")).history != []
        assert state.grants == ["authorization_code"] * 2
        assert user.get(page("app")).history == [], "the first session is still there"

    @pytest.mark.parametrize("part", ["oauth-hmac", "bearer-token", "id-token", "oauth-expires"])
    def test_a_changed_cookie_is_no_session(self, user: httpx.Client, part: str) -> None:
        user.get(page("app"))
        change(user, part)
        forget(user, "refresh-token")
        answer = user.get(page("app"), headers={"sec-fetch-mode": "cors"}, follow_redirects=False)
        assert answer.status_code == 401

    def test_a_changed_refresh_token_refreshes_nothing(
        self, user: httpx.Client, state: Provider
    ) -> None:
        user.get(page("app"))
        change(user, "refresh-token")
        forget(user, "oauth-hmac")
        answer = user.get(page("app"), headers={"sec-fetch-mode": "cors"}, follow_redirects=False)
        assert answer.status_code == 401
        assert state.grants == ["authorization_code"]

    def test_a_refresh_without_a_new_id_token_leads_to_a_new_login(
        self, user: httpx.Client, state: Provider
    ) -> None:
        """Otherwise the session would be good, and nobody's."""
        user.get(page("app"))
        state.new_id_token = False
        forget(user, "oauth-hmac")
        answer = user.get(page("app", "/page?a=1"))
        assert echoed(answer, "x-auth-subject") == ["user-1"]
        assert str(answer.url) == page("app", "/page?a=1")
        assert state.grants == ["authorization_code", "refresh_token", "authorization_code"]

    def test_a_script_is_told_that_its_session_is_nobodys(
        self, user: httpx.Client, state: Provider
    ) -> None:
        user.get(page("app"))
        state.new_id_token = False
        forget(user, "oauth-hmac")
        answer = user.get(page("app"), headers={"sec-fetch-mode": "cors"})
        assert answer.status_code == 401
        assert answer.json()["message"] == "The session does not say whose it is."

    def test_a_refresh_makes_no_changed_id_token_good(
        self, user: httpx.Client, state: Provider
    ) -> None:
        """After a refresh without a new ID token the old cookie counts, which no HMAC covered."""
        user.get(page("app"))
        state.new_id_token = False
        change(user, "id-token")
        answer = user.get(page("app"), headers={"sec-fetch-mode": "cors"}, follow_redirects=False)
        assert answer.status_code == 401

    def test_cookies_of_one_user_do_not_make_another(
        self, user: httpx.Client, served: Documents, state: Provider
    ) -> None:
        user.get(page("app"))
        mine = {cookie.name: cookie.value for cookie in user.cookies.jar}
        user.cookies.clear()
        state.user = {"sub": "user-2"}
        user.get(page("app"))
        for cookie in user.cookies.jar:
            if cookie.name.endswith("-id-token"):
                cookie.value = mine[cookie.name]
        forget(user, "refresh-token")
        answer = user.get(page("app"), headers={"sec-fetch-mode": "cors"}, follow_redirects=False)
        assert answer.status_code == 401


class TestWhoItIs:
    def test_claims_become_subject_and_scopes(self, user: httpx.Client, state: Provider) -> None:
        state.user = {"sub": "user-1", "email": "ann@example.com", "groups": ["staff", "a b"]}
        answer = user.get(page("claims"))
        assert echoed(answer, "x-auth-subject") == ["ann@example.com"]
        assert echoed(answer, "x-auth-scopes") == ["staff a%20b"]

    def test_on_a_route_of_a_tenant_users_are_the_tenants_unless_their_token_says_otherwise(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.user = {"sub": "user-1", "org": "other"}
        assert echoed(user.get(page("tenants")), "x-tenant-id") == ["acme"]
        assert user.get(page("tenant-claim")).status_code == 403

    def test_a_session_without_a_scope_that_the_route_asks_for_is_refused(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.user = {"sub": "user-1", "email": "ben@example.com", "groups": "guests"}
        answer = user.get(page("claims"))
        assert answer.status_code == 403
        assert "lacks the scope staff" in answer.json()["message"]

    def test_any_text_of_a_claim_is_safe_in_a_header(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.user = {"sub": 'Ä"\\/\n\U0001f600,;%', "nested": [{"a": [None, 1.5e3, True]}]}
        (subject,) = echoed(user.get(page("app")), "x-auth-subject")
        assert subject == "%C3%84%22%5C/%0A%F0%9F%98%80%2C%3B%25"

    @pytest.mark.parametrize("user_info", [{"sub": ""}, {"sub": ["a"]}, {"sub": "x" * 257}])
    def test_a_session_that_says_nobody_is_refused(
        self, user: httpx.Client, state: Provider, user_info: dict[str, Any]
    ) -> None:
        state.user = user_info
        answer = user.get(page("app"))
        assert answer.status_code == 403
        assert answer.json()["message"] == "The session does not say whose it is."

    def test_a_token_of_another_issuer_is_refused(self, user: httpx.Client) -> None:
        answer = user.get(page("other-issuer"))
        assert answer.status_code == 403
        assert answer.json()["message"] == "The session is of another issuer."

    def test_a_token_for_another_client_is_refused(
        self, user: httpx.Client, state: Provider
    ) -> None:
        state.audience = "another"
        answer = user.get(page("app"))
        assert answer.status_code == 403
        assert answer.json()["message"] == "The session is for another client."


class TestBesideOtherCredentials:
    def test_a_key_is_enough_where_the_route_lists_both(self, user: httpx.Client) -> None:
        answer = user.get(page("either"), headers={"apikey": KEY})
        assert answer.history == []
        assert echoed(answer, "x-auth-key-id") != []
        assert user.get(page("either")).history != []
        assert echoed(user.get(page("either")), "x-auth-subject") == ["user-1"]

    @pytest.mark.parametrize("name", ["apikey", "authorization", "x-api-key"])
    def test_something_wrong_is_not_a_way_around_the_login(
        self, user: httpx.Client, name: str
    ) -> None:
        answer = user.get(page("either"), headers={name: "Bearer nothing"}, follow_redirects=False)
        assert answer.status_code == 401
        if name != "authorization":
            return
        # without anything else listed the header does not matter at all
        answer = user.get(page("app"), headers={name: "Bearer x"}, follow_redirects=False)
        assert answer.status_code == 302

    @pytest.mark.parametrize("path", ["either", "optional", "app"])
    def test_a_token_that_a_client_hands_in_itself_is_no_session(
        self, user: httpx.Client, state: Provider, path: str
    ) -> None:
        """The header by which the login tells whose session it is comes from nobody else."""
        claims = {"iss": state.issuer, "aud": "site", "sub": "root"}
        token = jwt.encode({"alg": "RS256"}, claims, state.key)
        headers = {"x-fluxgate-id-token": token, "authorization": "Bearer x"}
        answer = user.get(page(path), headers=headers, follow_redirects=False)
        assert "root" not in answer.text
        assert answer.status_code == {"either": 401, "optional": 200, "app": 302}[path]
        assert echoed(user.get(page("open"), headers=headers), "x-fluxgate-id-token") == []

    def test_nothing_is_enough_where_it_is_optional(self, user: httpx.Client) -> None:
        answer = user.get(page("optional"))
        assert answer.history == []
        assert echoed(answer, "x-auth-subject") == []
        assert echoed(answer, "x-envoy-oauth-status") == []


class TestWhatGoesWrong:
    def test_a_code_that_was_not_asked_for_is_refused(self, user: httpx.Client) -> None:
        answer = user.get(page("app", "/callback?code=abc&state=xyz"), follow_redirects=False)
        assert answer.status_code == 401
        assert answer.json()["error"] == "unauthorized"

    def test_a_code_that_another_browser_asked_for_is_refused(
        self, user: httpx.Client, authority: Authority, served: Documents, provider: OpenIdProvider
    ) -> None:
        to_provider = user.get(page("app"), follow_redirects=False).headers["location"]
        back = user.get(to_provider, follow_redirects=False).headers["location"]
        with browser(authority.pem, {APP: served.port, LOGIN: provider.port}) as victim:
            assert victim.get(back, follow_redirects=False).status_code == 401

    def test_a_client_that_the_provider_does_not_know_gets_nobody_in(
        self, user: httpx.Client
    ) -> None:
        answer = user.get(page("other-client"))
        assert answer.status_code >= 400
        assert answer.url.host == LOGIN

    @pytest.mark.parametrize(
        ("name", "of", "words"),
        [
            ("no-way-back", "Accepted", "config.callbackPath: no match of this route covers"),
            ("no-openid", "Accepted", "config.scopes: openid is needed"),
            ("no-secret", "ResolvedRefs", "config.clientSecretRef: Secret default/missing"),
            ("empty-secret", "Accepted", "config.clientSecretRef: Secret empty: client-secret"),
            ("short-secret", "Accepted", "config.clientSecretRef: Secret short: cookie-secret"),
            ("no-backend", "ResolvedRefs", "config.backend: Backend default/missing"),
        ],
    )
    def test_a_broken_config_closes_the_route_and_names_the_field(
        self, user: httpx.Client, served: Documents, name: str, of: str, words: str
    ) -> None:
        condition = served.condition("Route", name, of)
        assert not condition.status
        assert words in condition.message
        assert user.get(page(name)).status_code == CLOSED


def test_ten_thousand_characters_of_claims_do_not_hold_a_worker_up(
    user: httpx.Client, state: Provider, served: Documents
) -> None:
    """The ID token is read once; the browser sends it with every request, in several cookies."""
    state.user = {"sub": "user-1", "groups": [f"group-{index}" for index in range(60)]}
    user.get(page("app"))
    before = served.envoy.cpu_seconds
    for _ in range(50):
        assert user.get(page("app")).status_code == 200
    assert served.envoy.cpu_seconds - before < 2
