"""Paths are normalised before they are matched, and escaped slashes are refused."""

from collections.abc import Iterator

import pytest
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def served() -> Iterator[GatewayEnvoy]:
    with EchoUpstream("public") as public, EchoUpstream("private") as private:
        routes = (route("/private", forward("private")), route("/public", forward("public")))
        clusters = (cluster("public", public), cluster("private", private))
        with GatewayEnvoy(gateway(routes, clusters)) as running:
            yield running


@pytest.mark.parametrize(
    ("sent", "upstream", "seen"),
    [
        ("/public/a", "public", "/public/a"),
        ("/public//a///b", "public", "/public/a/b"),
        ("//private", "private", "/private"),
        ("/public/../private/a", "private", "/private/a"),
        ("/public/./a", "public", "/public/a"),
        ("/../private", "private", "/private"),
        ("/public/../../private", "private", "/private"),
        ("/public/%2e%2e/private", "private", "/private"),
        ("/public/%2E%2E/private", "private", "/private"),
        ("/public/.%2e/private", "private", "/private"),
        ("/%70rivate", "private", "/private"),
        ("/public/a%20b", "public", "/public/a%20b"),
        ("/public\\..\\private", "private", "/private"),
        ("/public/a;v=1", "public", "/public/a;v=1"),
        ("/public/..;/private", "private", "/private"),
        ("/public/a?next=/../%2f//b", "public", "/public/a?next=/../%2f//b"),
    ],
)
def test_a_path_reaches_the_route_of_its_normal_form(
    served: GatewayEnvoy, sent: str, upstream: str, seen: str
) -> None:
    answer = served.get(sent).json()
    assert (answer.get("upstream"), answer.get("path")) == (upstream, seen)


@pytest.mark.parametrize(
    "sent",
    [
        "/public%2fa",
        "/public%2Fa",
        "/public/%2e%2e%2fprivate",
        "/public%5ca",
        "/public%5Ca",
        "/public/..%5cprivate",
        "/public/%00",
    ],
)
def test_a_path_with_an_escaped_slash_or_a_zero_byte_is_refused(
    served: GatewayEnvoy, sent: str
) -> None:
    answer = served.get(sent)
    assert (answer.status, answer.json()["error"]) == (400, "bad_request")


def test_the_host_matches_without_its_port(served: GatewayEnvoy) -> None:
    assert served.get("/public", [("host", "example.com:8443")]).echoed("host") == ["example.com"]
