"""Bodies and documents: each makes the other, and every pointer leads back into the body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import Route, RouteSpec
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.use_cases.documents import document_of
from fluxgate_admin.use_cases.pointers import Pointers, pointer_of_path
from fluxgate_admin.v2.paths import read_path, shown_path
from fluxgate_admin.v2.plugin_uses import type_named
from fluxgate_admin.v2.route_mapping import route_spec, shown_spec
from fluxgate_admin.v2.route_shapes import RouteBody, RouteChanges
from fluxgate_admin.v2.spelling import patch_model, to_camel


def nothing(_: str) -> None:
    return None


def spec_of(fields: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, Any]:
    return route_spec(fields, before or {}, nothing)[0]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("/*", {"type": "Prefix", "value": "/"}),
        ("/a/b/*", {"type": "Prefix", "value": "/a/b/"}),
        ("/a", {"type": "Exact", "value": "/a"}),
        (
            "/users/{id}/files/{path=**}",
            {"type": "Template", "value": "/users/{id}/files/{path=**}"},
        ),
    ],
)
def test_a_path_is_one_text(text: str, match: dict[str, str]) -> None:
    assert read_path(text, "/match/path") == match
    assert shown_path(match) == text


@pytest.mark.parametrize("text", ["/a*", "*", "/a/*/b", "/a/**", "/*/*"])
def test_a_star_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(UnprocessableError, match="a star stands only at the end"):
        read_path(text, "/match/path")


@pytest.mark.parametrize(
    "match",
    [
        {"type": "Prefix", "value": "/a"},
        {"type": "Exact", "value": "/a/*"},
        {"type": "Exact", "value": "/{a}"},
        {"type": "Prefix", "value": "/a*/"},
        {"type": "Template", "value": "/plain"},
        {"type": "Regex", "value": "/a.*"},
    ],
)
def test_what_no_text_stands_for_is_shown_whole(match: dict[str, str]) -> None:
    assert shown_path(match) == match


def test_the_documents_short_form_is_one_issuer_with_its_keys_where_issuers_publish_them() -> None:
    use = {"id": "jwt_auth", "config": {"issuer": "https://auth.acme.com", "audiences": ["a"]}}
    made = spec_of({"plugins": [use]})["plugins"]
    assert made == [
        {
            "type": "jwt-auth",
            "config": {
                "providers": [
                    {
                        "name": "main",
                        "algorithms": ["RS256", "ES256"],
                        "issuer": "https://auth.acme.com",
                        "audiences": ["a"],
                        "jwks": {"remote": {"url": "https://auth.acme.com/.well-known/jwks.json"}},
                    }
                ]
            },
        }
    ]


def test_a_config_may_be_written_in_snake_case_and_free_keys_stay_as_they_are() -> None:
    config = {
        "providers": [
            {
                "name": "main",
                "issuer": "x",
                "algorithms": ["RS256"],
                "clock_skew": "5s",
                "claim_headers": [{"claim": "e_mail", "header": "x-mail"}],
                "jwks": {"secret_ref": {"name": "keys"}},
                "from": {"header": "x-token"},
            }
        ]
    }
    provider = spec_of({"plugins": [{"id": "jwt-auth", "config": config}]})["plugins"][0]["config"][
        "providers"
    ][0]
    assert provider["clockSkew"] == "5s"
    assert provider["claimHeaders"] == [{"claim": "e_mail", "header": "x-mail"}]
    assert provider["jwks"] == {"secretRef": {"name": "keys"}}
    assert provider["from"] == {"header": "x-token"}
    headers = {"set": {"x_under_score": "kept"}}
    made = spec_of({"plugins": [{"id": "request_transform", "config": {"headers": headers}}]})
    assert made["plugins"][0]["config"] == {"headers": headers}


def test_every_type_is_known_with_dashes_and_with_underscores() -> None:
    for each in POLICY_TYPES:
        assert type_named(each.name) == each.name
        assert type_named(each.name.replace("-", "_")) == each.name
    assert type_named("jwt auth") is None


def test_a_patch_merges_into_what_is_there() -> None:
    before = {
        "matches": [{"path": {"type": "Exact", "value": "/a"}, "methods": ["GET"]}],
        "hosts": ["a.example"],
        "timeouts": {"request": "1s", "idle": "2s"},
        "retry": {"attempts": 1, "retryOn": ["5xx"]},
        "circuitBreaker": {"maxRequests": 1},
    }
    fields = {
        "match": {"path": "/b/*"},
        "timeout": "3s",
        "retries": 4,
        "circuit_breaker": {"max_connections": 5},
    }
    assert spec_of(fields, before) == {
        "matches": [{"path": {"type": "Prefix", "value": "/b/"}, "methods": ["GET"]}],
        "hosts": ["a.example"],
        "timeouts": {"request": "3s", "idle": "2s"},
        "retry": {"attempts": 4, "retryOn": ["5xx"]},
        "circuitBreaker": {"maxRequests": 1, "maxConnections": 5},
    }
    gone = {
        "match": {"path": None, "methods": None},
        "timeout": None,
        "retries": None,
        "circuit_breaker": {"max_requests": None},
    }
    assert spec_of(gone, before) == {
        "matches": [{}],
        "hosts": ["a.example"],
        "circuitBreaker": {},
    }


ORDERS = {
    "matches": [{"path": {"type": "Prefix", "value": "/orders/"}, "methods": ["GET"]}],
    "hosts": ["a.example"],
}
HOSTLESS = {"matches": ORDERS["matches"]}


@pytest.mark.parametrize(
    ("match", "before", "places"),
    [
        ({}, {}, ["/match"]),
        ({"path": {}}, {}, ["/match"]),
        ({"path": {"type": "Prefix"}}, {}, ["/match"]),
        ({"methods": ["GET"]}, {}, ["/match"]),
        ({"methods": [], "hosts": [], "headers": {}}, {}, ["/match"]),
        ({"hosts": ["*"]}, {}, ["/match"]),
        ([{"path": "/a"}, {}], {}, ["/match/1"]),
        (None, ORDERS, ["/match"]),
        ({"path": None, "hosts": None}, ORDERS, ["/match"]),
        ({"path": None}, HOSTLESS, ["/match"]),
        ({"hosts": None}, {"hosts": ["a.example"]}, ["/match"]),
    ],
)
def test_a_match_that_takes_every_request_has_to_say_so(
    match: Any, before: dict[str, Any], places: list[str]
) -> None:
    with pytest.raises(UnprocessableError) as caught:
        spec_of({"match": match}, before)
    assert [each["pointer"] for each in caught.value.details["problems"]] == places
    assert '{"match": {"path": "/*"}}' in caught.value.message


@pytest.mark.parametrize(
    ("match", "before"),
    [
        ({"path": "/*"}, {}),
        ({"path": {"type": "Prefix", "value": "/"}}, {}),
        ({"path": {"type": "Exact"}}, {}),
        ({"hosts": ["a.example"]}, {}),
        ({"headers": {"X-Env": "canary"}}, {}),
        ({"credential": "JWT"}, {}),
        ({}, ORDERS),
        ({"methods": None}, HOSTLESS),
        ({"hosts": None}, ORDERS),
        ({"path": None}, ORDERS),
        ({"path": "/*"}, ORDERS),
    ],
)
def test_a_match_that_says_what_it_takes_is_taken(match: Any, before: dict[str, Any]) -> None:
    assert "matches" in spec_of({"match": match}, before)


def test_what_a_route_takes_is_no_concern_of_a_patch_of_something_else() -> None:
    assert spec_of({"timeout": "1s"}, {}) == {"timeouts": {"request": "1s"}}


def test_one_match_cannot_be_patched_where_there_are_several() -> None:
    with pytest.raises(UnprocessableError, match="the route has 2 matches"):
        spec_of({"match": {"path": "/b"}}, {"matches": [{}, {}]})


PATHS = st.sampled_from(
    [
        *("/*", "/a/*", "/a", "/users/{id}", "/f/{rest=**}"),
        {"type": "Regex", "value": "/x[0-9]+"},
        {"type": "Prefix", "value": "/p"},
    ]
)
HOSTS = st.lists(st.sampled_from(["a.example", "*.b.example", "c.example"]), unique=True)
HEADERS = st.lists(
    st.sampled_from(
        [
            {"name": "X-A", "value": "1"},
            {"name": "X-B", "type": "Present"},
            {"name": "X-C", "type": "Regex", "value": "a+"},
        ]
    ),
    max_size=3,
)


def matches(hosts: list[str] | None) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"path": PATHS, **({"hosts": st.just(hosts)} if hosts is not None else {})},
        optional={
            "methods": st.lists(st.sampled_from(["GET", "POST"]), unique=True),
            "headers": HEADERS,
            "query_params": HEADERS,
            "credential": st.sampled_from(["ApiKey", "JWT"]),
        },
    )


def match_or_matches(hosts: list[str] | None) -> st.SearchStrategy[Any]:
    return st.one_of(matches(hosts), st.lists(matches(hosts), min_size=2, max_size=3))


BODIES = st.fixed_dictionaries(
    {
        "name": st.just("orders"),
        "match": st.one_of(st.none(), HOSTS).flatmap(match_or_matches),
    },
    optional={
        "upstream": st.sampled_from(
            [
                "http://example.com",
                [{"url": "http://example.com", "weight": 3}, {"url": "https://b.example"}],
                [{"kind": "Service", "name": "pay", "port": 80}],
                [{"name": "backend"}],
            ]
        ),
        "plugins": st.lists(
            st.sampled_from(
                [
                    {"id": "rate-limit", "config": {"requests": 5}},
                    {"id": "cors", "enabled": False},
                    {"id": "request-size", "config": {"maxBytes": 5}, "merge_strategy": "Append"},
                ]
            ),
            max_size=3,
        ),
        "timeout": st.sampled_from(["5s", {"request": "5s", "idle": "1m"}, {"idle": "1m"}]),
        "retries": st.sampled_from([0, 3, {"attempts": 2, "back_off": {"base": "5ms"}}, {}]),
        "circuit_breaker": st.sampled_from(
            [{"max_connections": 5}, {"retry_budget": {"percent": 5.0}}]
        ),
        "enabled": st.booleans(),
        "priority": st.integers(-5, 5),
        "rewrite": st.just({"path": {"type": "ReplaceFull", "value": "/x"}}),
        "mirrors": st.just([{"backend": {"name": "shadow"}, "percent": 5.0}]),
        "sticky": st.just({"name": "sid", "cookie_ttl": "1h"}),
        "rate_limit": st.sampled_from([{"requests": 5}, {"plan": "gold"}]),
        "async": st.just({"enabled": False, "max_attempts": 3}),
        "auth": st.sampled_from([{"mode": "None"}, {"scopes": ["a:b"]}]),
        "cors": st.just({"allow_origins": ["https://a.example"]}),
        "description": st.text(st.characters(codec="ascii"), max_size=20),
        "gateways": st.just(["main"]),
        "workspace": st.just("w"),
        "tenant": st.just("acme"),
        "realtime": st.booleans(),
    },
)


@given(BODIES)
def test_what_is_shown_makes_the_same_route_again(body: dict[str, Any]) -> None:
    body.pop("sticky", None) if not isinstance(body.get("upstream"), list) else None
    fields = RouteBody.model_validate(body).model_dump(exclude_unset=True, by_alias=True)
    spec = spec_of(fields)
    route = parse_object(
        {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": "Route",
            "metadata": {"name": "orders"},
            "spec": spec,
        }
    )
    assert isinstance(route, Route)
    shown = shown_spec(route)
    again = RouteBody.model_validate(shown | {"name": "orders"})
    assert (
        spec_of(again.model_dump(exclude_unset=True, by_alias=True)) == document_of(route)["spec"]
    )
    whole = {key: value for key, value in body.items() if key != "name"}
    assert shown.keys() == whole.keys()
    changes = RouteChanges.model_validate(shown).model_dump(exclude_unset=True, by_alias=True)
    if not isinstance(shown["match"], list):
        assert spec_of(changes, spec) == spec


@pytest.mark.parametrize(
    ("body", "found", "pointer"),
    [
        ({"match": {"path": "/a"}}, "/spec/matches/0/path/value", "/match/path"),
        ({"match": {"path": {"value": "/a"}}}, "/spec/matches/0/path/value", "/match/path/value"),
        ({"match": [{"path": "/b"}, {"path": "/a"}]}, "/spec/matches/1/path", "/match/1/path"),
        (
            {"match": {"headers": {"X-A": "b"}}},
            "/spec/matches/0/headers/0/value",
            "/match/headers/X-A/value",
        ),
        (
            {"match": {"query_params": [{}]}},
            "/spec/matches/0/queryParams/0/name",
            "/match/query_params/0/name",
        ),
        ({"match": {"hosts": ["A"]}}, "/spec/hosts/0", "/match/hosts/0"),
        ({"upstream": "x"}, "/spec/backends/0/url", "/upstream"),
        ({"upstream": {"url": "x"}}, "/spec/backends/0/url", "/upstream/url"),
        ({"upstream": [{"url": "x"}]}, "/spec/backends/0/url", "/upstream/0/url"),
        ({"timeout": "1s"}, "/spec/timeouts/request", "/timeout"),
        ({"timeout": {"idle": "1s"}}, "/spec/timeouts/idle", "/timeout/idle"),
        ({"retries": {"back_off": {}}}, "/spec/retry/backOff/base", "/retries/back_off/base"),
        (
            {"circuit_breaker": {}},
            "/spec/circuitBreaker/maxRequests",
            "/circuit_breaker/max_requests",
        ),
        ({"rate_limit": {}}, "/spec/rateLimit/plan", "/rate_limit/plan"),
        ({"plugins": [{"id": "cors"}]}, "/spec/plugins/0/type", "/plugins/0/id"),
        (
            {"plugins": [{"id": "cors", "config": {"maxAge": "x"}}]},
            "/spec/plugins/0/config/maxAge",
            "/plugins/0/config/maxAge",
        ),
        (
            {"plugins": [{"id": "cors", "config": {"max_age": "x"}}]},
            "/spec/plugins/0/config/maxAge",
            "/plugins/0/config/max_age",
        ),
        ({}, "/metadata/name", "/name"),
        ({}, "/spec", ""),
    ],
)
def test_pointers_lead_back_into_the_body(body: dict[str, Any], found: str, pointer: str) -> None:
    assert route_spec(body, {}, nothing)[1].translate(found) == pointer


def test_paths_of_problems_become_pointers() -> None:
    document = {"metadata": {"annotations": {"example.com/a.b": "x"}}, "spec": {"a": [{"b": 1}]}}
    assert pointer_of_path("spec.a[0].b", document) == "/spec/a/0/b"
    assert (
        pointer_of_path("metadata.annotations.example.com/a.b", document)
        == "/metadata/annotations/example.com~1a.b"
    )
    assert pointer_of_path("spec.absent.field", document) == "/spec/absent/field"
    assert pointer_of_path("", document) == ""


@given(st.text(max_size=30))
def test_no_text_keeps_the_reading_of_a_path_from_ending(text: str) -> None:
    assert pointer_of_path(text, {"a": [1]}) is not None


def test_without_origins_document_and_body_are_one() -> None:
    assert Pointers().translate("/spec/rateLimit") == "/spec/rateLimit"
    assert Pointers(base="/objects/3").translate("/spec/a") == "/objects/3/spec/a"


def test_every_field_of_a_route_has_a_place_in_bodies() -> None:
    made = {"matches", "backends", "timeouts", "retry", "circuit_breaker", "plugins", "hosts"}
    fields = {name.rstrip("_") for name in RouteBody.model_fields}
    assert {name.rstrip("_") for name in RouteSpec.model_fields} - made <= fields


def test_names_go_both_ways() -> None:
    snake = {"retry": {"retry_on": ["5xx"], "per_try_timeout": "1s"}, "async": {"max_attempts": 2}}
    camel = {"retry": {"retryOn": ["5xx"], "perTryTimeout": "1s"}, "async": {"maxAttempts": 2}}
    assert to_camel(RouteSpec, snake) == camel
    assert to_camel(RouteSpec, camel) == camel
    patch = patch_model(RouteSpec).model_validate(snake)
    assert patch.model_dump(exclude_unset=True, by_alias=True) == snake
