"""A listener that sends everyone to HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.client import Response, request
from support.envoy import eventually
from support.gateway import LISTENER, GatewayEnvoy, simple
from support.upstream import EchoUpstream

from fluxgate.ir import HttpsRedirectIR

pytestmark = pytest.mark.envoy
ACME = "/.well-known/acme-challenge/"
STRANGE = "/a']]--/"
LISTENERS = (
    replace(LISTENER, redirect=HttpsRedirectIR()),
    replace(
        LISTENER,
        name="other",
        port=8081,
        redirect=HttpsRedirectIR(8443, 301, (ACME, STRANGE)),
    ),
    replace(LISTENER, name="plain", port=8082),
)


@pytest.fixture(scope="module")
def served() -> Iterator[GatewayEnvoy]:
    with EchoUpstream() as echo, GatewayEnvoy(simple(echo, listeners=LISTENERS)) as running:
        yield running


def ask(served: GatewayEnvoy, listener: str, path: str, **fields: object) -> Response:
    headers = [("host", "www.example.com:8080"), *fields.pop("headers", ())]  # type: ignore[misc]
    return request(served.envoy.port(listener), path, headers=headers, **fields)  # type: ignore[arg-type]


def test_every_request_is_sent_to_the_same_place_with_tls(served: GatewayEnvoy) -> None:
    answer = ask(served, "http", "/a/b?c=d&e=%2F")
    assert answer.status == 308
    assert answer.header("location") == "https://www.example.com/a/b?c=d&e=%2F"
    assert answer.body == b""


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "HEAD"])
def test_no_method_is_routed(served: GatewayEnvoy, method: str) -> None:
    origin = [("origin", "https://app.example.com"), ("access-control-request-method", "GET")]
    answer = ask(served, "http", "/", method=method, headers=origin)
    assert (answer.status, answer.header("location")) == (308, "https://www.example.com/")


def test_port_and_status_can_be_chosen(served: GatewayEnvoy) -> None:
    answer = ask(served, "other", "/a")
    assert answer.status == 301
    assert answer.header("location") == "https://www.example.com:8443/a"


def test_excepted_paths_are_routed_like_anywhere(served: GatewayEnvoy) -> None:
    assert ask(served, "other", f"{ACME}token").json()["path"] == f"{ACME}token"
    assert ask(served, "http", f"{ACME}token").status == 308


@pytest.mark.parametrize(
    "path",
    [
        f"{ACME}../../admin",
        f"{ACME}%2e%2e/%2e%2e/admin",
        "/.well-known/acme-challenge",
        f"/x{ACME}",
    ],
)
def test_no_spelling_of_another_path_is_excepted(served: GatewayEnvoy, path: str) -> None:
    assert ask(served, "other", path).status == 301


def test_an_excepted_path_may_hold_what_means_something_in_lua(served: GatewayEnvoy) -> None:
    assert ask(served, "other", f"{STRANGE}x").json()["path"] == f"{STRANGE}x"


def test_another_listener_of_the_gateway_redirects_nothing(served: GatewayEnvoy) -> None:
    assert ask(served, "plain", "/a").json()["path"] == "/a"


def test_a_redirect_has_a_request_id_and_a_line_in_the_access_log(served: GatewayEnvoy) -> None:
    wanted = ask(served, "http", "/logged").header("x-request-id")
    assert wanted

    def logged() -> list[int]:
        lines = served.envoy.access_log(count=1)
        return [line["status"] for line in lines if line["request_id"] == wanted]

    assert eventually(logged, what="the line of the redirect") == [308]
