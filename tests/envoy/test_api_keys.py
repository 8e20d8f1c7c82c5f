"""API keys, checked by the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.client import Response
from support.keygateway import KeyGateway, api_key, gateway, route

from fluxgate.ir import KeyAuth

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
OTHER = "flx_live_9QwErTyUiOpAsDfGhJkLzXcVbNm1a2B3c4D5"
BARE = "flc_anon_00000000000000000000000000000000000"
EXPIRED = "flc_service_expired00000000000000000000000000"
LASTING = "flc_service_lasting00000000000000000000000000"
UNKNOWN = "flc_service_unknown00000000000000000000000000"

KEYS = (
    api_key(
        KEY,
        "key-main",
        tenant="acme",
        workspace="blue",
        subject="svc:billing",
        role="app_user",
        audience="service",
        scopes=("orders:read", "routes:*"),
    ),
    api_key(OTHER, "key-other", tenant="umbrella", audience="project"),
    api_key(BARE, "key-bare"),
    api_key(EXPIRED, "key-expired", expires_at=1_600_000_000),
    api_key(LASTING, "key-lasting", expires_at=4_102_444_800),
)
ROUTES = (
    route("/open"),
    route("/optional", KeyAuth(required=False)),
    route("/realtime", KeyAuth(query=True), realtime=True),
    route("/orders", KeyAuth(scopes=("orders:read",))),
    route("/routes", KeyAuth(scopes=("routes:write",))),
    route("/admin", KeyAuth(scopes=("admin:write", "orders:read", "audit:read"))),
    route("/service", KeyAuth(audiences=("service", "admin"))),
    route("/acme", KeyAuth(tenants=("acme",))),
    route("/", KeyAuth()),
)


@pytest.fixture(scope="module")
def proxy() -> Iterator[KeyGateway]:
    with KeyGateway(gateway(KEYS), ROUTES) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_key_ever_leaks(proxy: KeyGateway) -> Iterator[None]:
    """Whatever a test sends: no key reaches the upstream."""
    proxy.echo.clear()
    yield
    seen = repr(proxy.echo.requests)
    for key in (KEY, OTHER, BARE, EXPIRED, LASTING, UNKNOWN):
        assert key not in seen


def refused(answer: Response, status: int, words: str) -> None:
    assert answer.status == status
    assert words in answer.body.decode()
    for key in (KEY, OTHER, BARE, EXPIRED, UNKNOWN):
        assert key not in answer.body.decode()
        assert key not in repr(answer.headers)
    challenge = 'ApiKey realm="fluxgate"' if status == 401 else None
    assert answer.header("www-authenticate") == challenge


@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", KEY)],
        [("x-api-key", KEY)],
        [("APIKEY", KEY)],
        [("Authorization", f"ApiKey {KEY}")],
        [("authorization", f"apikey   {KEY}")],
        [("authorization", f"Bearer {KEY}")],
        [("authorization", f"bearer {KEY}")],
        [("apikey", KEY), ("x-api-key", KEY), ("authorization", f"Bearer {KEY}")],
    ],
    ids=lambda headers: " and ".join(f"{name}: {value[:10]}" for name, value in headers),
)
def test_every_documented_form_of_a_key_is_accepted_and_removed(
    proxy: KeyGateway, headers: list[tuple[str, str]]
) -> None:
    answer = proxy.get("/x", headers)
    assert answer.status == 200
    assert answer.echoed("x-auth-key-id") == ["key-main"]
    for name in ("apikey", "x-api-key", "authorization"):
        assert answer.echoed(name) == []


def test_every_known_prefix_marks_a_bearer_as_a_key(proxy: KeyGateway) -> None:
    answer = proxy.get("/x", [("authorization", f"Bearer {OTHER}")])
    assert answer.echoed("x-auth-key-id") == ["key-other"]


def test_another_bearer_is_not_a_key_and_reaches_the_upstream_untouched(proxy: KeyGateway) -> None:
    token = "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
    answer = proxy.get("/optional", [("authorization", token)])
    assert answer.status == 200
    assert answer.echoed("authorization") == [token]
    refused(proxy.get("/x", [("authorization", token)]), 401, "An API key is required")


def test_a_bearer_beside_a_key_is_left_alone(proxy: KeyGateway) -> None:
    answer = proxy.key(KEY, "/x", [("authorization", "Bearer eyJh.e30.c2ln")])
    assert answer.status == 200
    assert answer.echoed("authorization") == ["Bearer eyJh.e30.c2ln"]


def test_a_request_without_a_key_is_told_how_to_send_one(proxy: KeyGateway) -> None:
    refused(proxy.get("/x"), 401, "Send the key as 'apikey', 'x-api-key' or 'Authorization: ApiKey")


@pytest.mark.parametrize(
    "key", [UNKNOWN, "", "x", KEY[:-1], KEY + "x", KEY.swapcase(), "'; --", "k" * 10_000]
)
def test_an_unknown_key_is_refused_every_time(proxy: KeyGateway, key: str) -> None:
    for _ in range(3):
        refused(proxy.key(key, "/x"), 401, "not valid")


def test_an_unknown_key_is_refused_where_keys_are_optional_too(proxy: KeyGateway) -> None:
    refused(proxy.key(UNKNOWN, "/optional"), 401, "not valid")
    refused(proxy.get("/optional", [("authorization", f"Bearer {UNKNOWN}")]), 401, "not valid")


def test_a_request_without_a_key_passes_where_keys_are_optional(proxy: KeyGateway) -> None:
    answer = proxy.get("/optional")
    assert answer.status == 200
    assert answer.echoed("x-auth-key-id") == []


def test_a_key_is_verified_and_removed_where_keys_are_optional(proxy: KeyGateway) -> None:
    answer = proxy.key(KEY, "/optional")
    assert answer.echoed("x-tenant-id") == ["acme"]
    assert answer.echoed("apikey") == []


def test_key_headers_are_dropped_on_open_routes_too(proxy: KeyGateway) -> None:
    answer = proxy.get("/open", [("apikey", KEY), ("x-api-key", OTHER)])
    assert answer.status == 200
    assert answer.echoed("apikey") == answer.echoed("x-api-key") == []


@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", KEY), ("x-api-key", OTHER)],
        [("apikey", KEY), ("x-api-key", UNKNOWN)],
        [("apikey", UNKNOWN), ("x-api-key", KEY)],
        [("apikey", KEY), ("authorization", f"Bearer {OTHER}")],
        [("x-api-key", KEY), ("authorization", f"ApiKey {OTHER}")],
        [("apikey", KEY), ("x-api-key", "")],
    ],
)
def test_two_keys_that_disagree_are_refused(
    proxy: KeyGateway, headers: list[tuple[str, str]]
) -> None:
    for path in ("/x", "/optional"):
        refused(proxy.get(path, headers), 401, "more than one API key")


@pytest.mark.parametrize(
    "headers",
    [
        [("apikey", KEY), ("apikey", KEY)],
        [("apikey", KEY), ("apikey", OTHER)],
        [("apikey", f"{KEY},{OTHER}")],
        [("x-api-key", f"{KEY}, {KEY}")],
        [("authorization", f"ApiKey {KEY}"), ("authorization", f"ApiKey {KEY}")],
        [("authorization", f"Bearer {KEY}"), ("authorization", "Bearer eyJh.e30.c2ln")],
        [("authorization", "Bearer eyJh.e30.c2ln"), ("authorization", f"Bearer {KEY}")],
        [("authorization", f"Basic dTpw, ApiKey {KEY}")],
    ],
)
def test_a_repeated_or_joined_header_is_refused(
    proxy: KeyGateway, headers: list[tuple[str, str]]
) -> None:
    proxy.key(KEY, "/x")
    for path in ("/x", "/optional"):
        refused(proxy.get(path, headers), 401, "more than one API key")


def test_identity_headers_say_who_the_key_is(proxy: KeyGateway) -> None:
    answer = proxy.key(KEY, "/x")
    assert answer.echoed("x-tenant-id") == ["acme"]
    assert answer.echoed("x-workspace-id") == ["blue"]
    assert answer.echoed("x-auth-subject") == ["svc:billing"]
    assert answer.echoed("x-pg-role") == ["app_user"]
    assert answer.echoed("x-auth-key-id") == ["key-main"]
    assert answer.echoed("x-auth-scopes") == ["orders:read routes:*"]


FORGED = [
    (name, "forged")
    for name in (
        "x-tenant-id",
        "X-Tenant-Id",
        "x-workspace-id",
        "x-auth-subject",
        "x-pg-role",
        "x-auth-key-id",
        "x-auth-scopes",
    )
]


@pytest.mark.parametrize("path", ["/x", "/optional"])
def test_a_forged_identity_header_is_replaced_never_appended_to(
    proxy: KeyGateway, path: str
) -> None:
    answer = proxy.key(KEY, path, FORGED)
    assert "forged" not in answer.body.decode()
    assert answer.echoed("x-tenant-id") == ["acme"]


def test_what_a_key_does_not_say_is_removed(proxy: KeyGateway) -> None:
    answer = proxy.key(BARE, "/x", FORGED)
    assert "forged" not in answer.body.decode()
    assert answer.echoed("x-auth-key-id") == answer.echoed("x-auth-subject") == ["key-bare"]
    assert answer.echoed("x-tenant-id") == answer.echoed("x-pg-role") == []


def test_nobody_has_no_identity(proxy: KeyGateway) -> None:
    answer = proxy.get("/optional", FORGED)
    assert answer.status == 200
    assert "forged" not in answer.body.decode()


def test_an_expired_key_is_refused(proxy: KeyGateway) -> None:
    for _ in range(2):
        refused(proxy.key(EXPIRED, "/x"), 401, "has expired")


def test_a_key_that_expires_later_is_accepted(proxy: KeyGateway) -> None:
    assert proxy.key(LASTING, "/x").status == 200


def test_a_key_with_the_scope_passes(proxy: KeyGateway) -> None:
    assert proxy.key(KEY, "/orders").status == 200


def test_a_wildcard_scope_covers_every_action_on_its_resource(proxy: KeyGateway) -> None:
    assert proxy.key(KEY, "/routes").status == 200


def test_a_403_names_every_missing_scope(proxy: KeyGateway) -> None:
    for _ in range(2):
        refused(proxy.key(KEY, "/admin"), 403, "lacks the scope admin:write, audit:read.")
    refused(proxy.key(BARE, "/orders"), 403, "lacks the scope orders:read.")


def test_a_403_names_the_audiences(proxy: KeyGateway) -> None:
    assert proxy.key(KEY, "/service").status == 200
    refused(
        proxy.key(OTHER, "/service"),
        403,
        "for the audience project; this route is for service, admin.",
    )
    refused(proxy.key(BARE, "/service"), 403, "for no audience;")


def test_a_key_of_another_tenant_is_refused(proxy: KeyGateway) -> None:
    assert proxy.key(KEY, "/acme").status == 200
    refused(proxy.key(OTHER, "/acme"), 403, "belongs to a tenant that may not use this route")
    refused(proxy.key(BARE, "/acme"), 403, "belongs to a tenant that may not use this route")


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [
        (f"/realtime?apikey={KEY}", "/realtime"),
        (f"/realtime?a=1&apikey={KEY}&b=%20%2f&&c", "/realtime?a=1&b=%20%2f&&c"),
        (f"/realtime?apikey={KEY}&a=1", "/realtime?a=1"),
        (f"/realtime?a=1&apikey={KEY}", "/realtime?a=1"),
        (f"/realtime?x=?apikey&apikey={KEY}", "/realtime?x=?apikey"),
        (f"/realtime?apikey={KEY.replace('_', '%5F')}", "/realtime"),
    ],
)
def test_realtime_routes_take_the_key_from_the_query_and_cut_only_it_out(
    proxy: KeyGateway, sent: str, forwarded: str
) -> None:
    answer = proxy.get(sent)
    assert answer.status == 200
    assert answer.json()["path"] == forwarded
    assert answer.echoed("x-auth-key-id") == ["key-main"]


@pytest.mark.parametrize("query", [f"apikey={KEY}&apikey={KEY}", f"apikey={KEY}&apikey={OTHER}"])
def test_a_repeated_query_key_is_refused(proxy: KeyGateway, query: str) -> None:
    refused(proxy.get(f"/realtime?{query}"), 401, "more than one API key")


def test_header_and_query_must_agree_on_realtime_routes(proxy: KeyGateway) -> None:
    assert proxy.key(KEY, f"/realtime?apikey={KEY}").status == 200
    refused(proxy.key(OTHER, f"/realtime?apikey={KEY}"), 401, "more than one API key")


def test_other_parameters_are_not_keys(proxy: KeyGateway) -> None:
    answer = proxy.key(KEY, "/realtime?xapikey=1&apikey2=2&apikeys=3")
    assert answer.json()["path"] == "/realtime?xapikey=1&apikey2=2&apikeys=3"


def test_other_routes_say_that_they_take_no_key_from_the_query(proxy: KeyGateway) -> None:
    refused(proxy.get(f"/x?apikey={KEY}"), 401, "takes no API key in the query string")


def test_a_query_key_is_cut_out_on_other_routes_too(proxy: KeyGateway) -> None:
    answer = proxy.key(KEY, f"/x?a=1&apikey={OTHER}&b=2")
    assert answer.json()["path"] == "/x?a=1&b=2"
    answer = proxy.get(f"/optional?apikey={KEY}&b=2")
    assert answer.json()["path"] == "/optional?b=2"
    assert answer.echoed("x-auth-key-id") == []


def test_the_log_of_a_busy_gateway_holds_no_key(proxy: KeyGateway) -> None:
    for key in (KEY, EXPIRED, UNKNOWN):
        proxy.key(key, "/x")
    for key in (KEY, EXPIRED, UNKNOWN):
        assert key not in proxy.envoy.log + proxy.envoy.stdout
