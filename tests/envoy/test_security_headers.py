"""``security-headers``: what browsers are told, over HTTP and HTTPS, on answers and refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, route
from support.upstream import Answer, EchoUpstream, SeenRequest

pytestmark = pytest.mark.envoy
DEFAULTS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
}
HSTS = "strict-transport-security"
ALL = [*DEFAULTS, HSTS, "content-security-policy", "permissions-policy"]
OVER_HTTPS = ("x-forwarded-proto", "https")
"""As a proxy in front says it, which ends TLS."""


def respond(seen: SeenRequest) -> Answer:
    own = {"x-frame-options": "SAMEORIGIN", HSTS: "max-age=1"} if seen.header("x-own") else {}
    return Answer(200, own, b"")


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    policy = "default-src 'self' https://a.example.com/%20; frame-ancestors 'none'"
    more = {
        "contentSecurityPolicy": policy,
        "permissionsPolicy": "camera=()",
        "frameOptions": "SAMEORIGIN",
        "referrerPolicy": "",
        "strictTransportSecurity": "max-age=60; preload",
        "crossOriginOpenerPolicy": "same-origin",
    }
    with EchoUpstream(respond=respond) as echo:
        port = echo.port
        documents = (
            gateway(trustedHops=1),
            route("defaults", port, {"security-headers": {}}),
            route("more", port, {"security-headers": more}),
            route("override", port, {"security-headers": {"override": True}}),
            route("private", port, {"security-headers": {}}, auth={}),
            route("plain", port),
            route("own-words", port, {"security-headers": {}},
                  {"response-transform": {"headers": {"set": {"x-frame-options": "mine"}}}}),
            route("bad", port, {"security-headers": {"frameOptions": "ALLOW"}}),
            route("bad-age", port, {"security-headers": {"strictTransportSecurity": "max-age='x'"}}),
        )  # fmt: skip
        with Documents(*documents) as running:
            yield running


def told(answer: Response) -> dict[str, str]:
    return {name: value for name in ALL if (value := answer.header(name)) is not None}


def test_the_defaults_over_http_are_those_without_hsts(served: Documents) -> None:
    assert told(served.get("/defaults")) == DEFAULTS


def test_hsts_goes_over_https(served: Documents) -> None:
    expected = DEFAULTS | {HSTS: "max-age=31536000; includeSubDomains"}
    proxied = [OVER_HTTPS, ("x-forwarded-for", "192.0.2.7")]
    assert told(served.get("/defaults", proxied)) == expected


def test_what_is_given_is_sent_and_what_is_empty_is_not(served: Documents) -> None:
    answer = served.get("/more", [OVER_HTTPS, ("x-forwarded-for", "192.0.2.7")])
    assert told(answer) == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        HSTS: "max-age=60; preload",
        "content-security-policy": "default-src 'self' https://a.example.com/%20; "
        "frame-ancestors 'none'",
        "permissions-policy": "camera=()",
    }
    assert answer.header("cross-origin-opener-policy") == "same-origin"


def test_what_the_upstream_says_stays_unless_it_is_overridden(served: Documents) -> None:
    own = [("x-own", "1")]
    assert served.get("/defaults", own).header("x-frame-options") == "SAMEORIGIN"
    assert served.get("/override", own).header("x-frame-options") == "DENY"
    assert [name for name, _ in served.get("/defaults", own).headers].count("x-frame-options") == 1


def test_refusals_have_the_headers_too(served: Documents) -> None:
    answer = served.get("/private")
    assert (answer.status, told(answer)) == (401, DEFAULTS)


def test_a_transform_of_the_route_has_the_last_word(served: Documents) -> None:
    assert served.get("/own-words").header("x-frame-options") == "mine"


def test_another_route_has_none(served: Documents) -> None:
    assert told(served.get("/plain")) == {}


@pytest.mark.parametrize(
    ("name", "field"), [("bad", "frameOptions"), ("bad-age", "strictTransportSecurity")]
)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str, field: str
) -> None:
    assert f"spec.plugins[0].config.{field}" in served.condition("Route", name).message
    assert served.get(f"/{name}").status == CLOSED
