"""``redirect``: where clients are sent, and what stays of the request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.callers import api_key, by_key
from support.documents import CLOSED, Documents, gateway, obj, route
from support.http2 import http2_request, pseudo

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    exact = [{"path": {"type": "Exact", "value": "/exact"}}]
    regex = [{"path": {"type": "Regex", "value": "/bad-prefix/[0-9]+"}}]
    documents = (
        gateway(),
        obj("Tenant", "acme", {}),
        api_key("caller", tenant="acme"),
        route("https", 9, {"redirect": {"scheme": "https", "status": 308}}, backends=[]),
        route("host", 9, {"redirect": {"host": "www.example.com"}}),
        route("port", 9, {"redirect": {"host": "www.example.com", "port": 8443,
                                       "scheme": "https", "status": 301}}),
        route("path", 9, {"redirect": {"path": "/new/place", "status": 303}}),
        route("prefix", 9, {"redirect": {"prefix": "/v2/", "status": 307}}),
        route("root", 9, {"redirect": {"prefix": "/"}}),
        route("exact", 9, {"redirect": {"prefix": "/moved"}}, matches=exact),
        route("strip", 9, {"redirect": {"path": "/new", "query": "Strip"}}),
        route("private", 9, {"redirect": {"path": "/new"}}, auth={}),
        route("bad-prefix", 9, {"redirect": {"prefix": "/x"}}, matches=regex),
        route("bad-both", 9, {"redirect": {"prefix": "/x", "path": "/y"}}),
        route("bad-status", 9, {"redirect": {"path": "/x", "status": 200}}),
        route("bad-nothing", 9, {"redirect": {"status": 301}}),
        route("bad-host", 9, {"redirect": {"host": "evil.example.com/x"}}),
        route("bad-path", 9, {"redirect": {"path": "/a\r\nset-cookie: b"}}),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


HOST = ("host", "shop.example.com")


@pytest.mark.parametrize(
    ("path", "status", "location"),
    [
        ("/https/a?b=1", 308, "https://shop.example.com/https/a?b=1"),
        ("/host/a?b=1", 302, "http://www.example.com/host/a?b=1"),
        ("/port/a", 301, "https://www.example.com:8443/port/a"),
        ("/path/a?b=1", 303, "http://shop.example.com/new/place?b=1"),
        ("/prefix/a?b=1", 307, "http://shop.example.com/v2/a?b=1"),
        ("/prefix", 307, "http://shop.example.com/v2"),
        ("/root/a?b=1", 302, "http://shop.example.com/a?b=1"),
        ("/root", 302, "http://shop.example.com/"),
        ("/exact?b=1", 302, "http://shop.example.com/moved?b=1"),
        ("/strip/a?b=1", 302, "http://shop.example.com/new"),
    ],
)
def test_a_client_is_sent_elsewhere(
    served: Documents, path: str, status: int, location: str
) -> None:
    answer = served.get(path, [HOST])
    assert (answer.status, answer.header("location")) == (status, location)
    assert answer.body == b""


def test_over_http_2_and_with_another_method_too(served: Documents) -> None:
    answer = http2_request(served.port, pseudo("/prefix/a", "POST", "shop.example.com"), body=b"x")
    assert answer.status == 307
    assert dict(answer.headers)["location"] == "http://shop.example.com/v2/a"


def test_authentication_comes_first(served: Documents) -> None:
    assert served.get("/private").status == 401
    assert served.get("/private", by_key("caller")).status == 302


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bad-prefix", "config.prefix: needs a route"),
        ("bad-both", "config.prefix: path replaces"),
        ("bad-status", "config.status"),
        ("bad-nothing", "config: says nothing"),
        ("bad-host", "config.host"),
        ("bad-path", "config.path"),
    ],
)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str, field: str
) -> None:
    found = served.condition("Route", name)
    assert (found.status, f"spec.plugins[0].{field}" in found.message) == (False, True)
    path = f"/{name}/1" if name == "bad-prefix" else f"/{name}"
    assert served.get(path).status == CLOSED
