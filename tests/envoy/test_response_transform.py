"""``response-transform``: what the client sees of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, route
from support.http2 import http2_request, pseudo
from support.upstream import Answer, EchoUpstream, RefusingUpstream, SeenRequest

pytestmark = pytest.mark.envoy
JSON = "application/json"
ANSWERS = {
    "json": (JSON, b'{"user": {"mail": "a@example.com"}, "items": [{"cost": 1, "n": 1}, {"cost": 2}]}'),
    "broken": (JSON, b'{"user": '),
    "text": ("text/plain", b'{"internal": 1}'),
    "large": (JSON, b'"' + b"x" * 5_000 + b'"'),
    "huge": (JSON, b'"' + b"x" * 300_000 + b'"'),
    "wide": (JSON, b'{"internal":1,"x":"' + b"x" * 200_000 + b'"}'),
    "empty": (JSON, b""),
}  # fmt: skip


def respond(seen: SeenRequest) -> Answer:
    kind, body = ANSWERS[seen.header("x-want") or "json"]
    headers = {
        "content-type": kind, "etag": '"v1"', "x-powered-by": "old", "x-fluxgate-answered": "spoof",
        "x-saw-encoding": seen.header("accept-encoding") or "", "x-saw-range": seen.header("range") or "",
    }  # fmt: skip
    if seen.header("x-encoding"):
        headers["content-encoding"] = seen.header("x-encoding") or ""
    return Answer(int(seen.header("x-status") or 200), headers, body)


def transformed(name: str, port: int, config: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return route(name, port, {"response-transform": config}, **spec)


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    body = {
        "rename": {"user.mail": "email"},
        "remove": ["items.*.cost", "internal"],
        "set": {"meta.id": "${request.id}", "meta.asked": "${request.headers.x-ask}",
                "meta.status": "${response.status}", "meta.was": "${response.headers.etag}"},
    }  # fmt: skip
    headers = {
        "set": {"x-status": "${response.status} ${request.path}", "cache-control": "no-store"},
        "add": {"x-list": "b"},
        "rename": {"x-powered-by": "x-made-by"},
        "remove": ["x-saw-range"],
    }
    with EchoUpstream(respond=respond) as echo, RefusingUpstream() as refusing:
        port = echo.port
        documents = (
            gateway(),
            transformed("headers", port, {"headers": headers}),
            transformed("body", port, {"body": body}),
            transformed("small", port, {"body": {"remove": ["internal"], "maxBytes": 4000}}),
            transformed("wide", port, {"body": {"remove": ["internal"], "maxBytes": 250_000}}),
            transformed("strict", port, {"body": {"remove": ["internal"], "nonJson": "Refuse"}}),
            transformed("down", refusing.port, {"headers": headers, "body": {"set": {"a": 1}}}),
            transformed("private", port, {"headers": headers, "body": {"set": {"a": 1}}}, auth={}),
            route("plain", port),
            transformed("bad-identity", port, {"headers": {"set": {"x-tenant-id": "t"}}}),
            transformed("bad-query", port, {"headers": {"set": {"x-a": "${request.query.a}"}}}),
            transformed("bad-status", port, {"headers": {"set": {":status": "200"}}}),
        )
        with Documents(*documents) as running:
            yield running


def get(served: Documents, path: str, want: str = "json", *headers: tuple[str, str]) -> Response:
    return served.get(path, [("x-want", want), *headers])


def test_headers_are_set_added_renamed_and_removed(served: Documents) -> None:
    answer = get(served, "/headers/a?b=c")
    assert answer.header("x-status") == "200 /headers/a"
    assert answer.header("cache-control") == "no-store"
    assert (answer.header("x-made-by"), answer.header("x-powered-by")) == ("old", None)
    assert answer.header("x-saw-range") is None
    assert answer.body == ANSWERS["json"][1]


def test_a_body_is_changed_with_values_of_request_and_answer(served: Documents) -> None:
    answer = get(served, "/body", "json", ("x-ask", 'a"b'))
    assert answer.json() == {
        "user": {"email": "a@example.com"},
        "items": [{"n": 1}, {}],
        "meta": {"id": answer.header("x-request-id"), "asked": 'a"b', "status": "200", "was": '"v1"'},
    }  # fmt: skip
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.header("x-fluxgate-answered") is None


def test_a_changed_body_has_no_validator_of_the_old_one(served: Documents) -> None:
    assert get(served, "/body").header("etag") is None
    assert get(served, "/body", "text").header("etag") == '"v1"'
    assert get(served, "/plain").header("etag") == '"v1"'


def test_the_upstream_is_asked_for_the_whole_body_and_plainly(served: Documents) -> None:
    asked = [("accept-encoding", "gzip, br"), ("range", "bytes=0-3")]
    answer = get(served, "/body", "json", *asked)
    assert (answer.header("x-saw-encoding"), answer.header("x-saw-range")) == ("identity", "")
    answer = get(served, "/plain", "json", *asked)
    assert answer.header("x-saw-encoding") == "gzip, br"
    assert answer.header("x-saw-range") == "bytes=0-3"


def test_errors_of_the_upstream_are_changed_too(served: Documents) -> None:
    answer = get(served, "/body", "json", ("x-status", "404"))
    assert (answer.status, answer.json()["meta"]["status"]) == (404, "404")


def test_a_larger_body_than_envoy_buffers_by_itself_is_changed(served: Documents) -> None:
    answer = get(served, "/wide", "wide")
    assert (answer.status, len(answer.body)) == (
        200,
        len(ANSWERS["wide"][1]) - len('"internal":1,'),
    )


def test_a_body_over_http_2_is_changed_too(served: Documents) -> None:
    answer = http2_request(served.port, [*pseudo("/body"), ("x-want", "json")])
    assert answer.json()["user"] == {"email": "a@example.com"}


def test_a_head_request_gets_no_length_of_the_old_body(served: Documents) -> None:
    answer = served.get("/body", method="HEAD")
    assert (answer.status, answer.body, answer.header("content-length")) == (200, b"", None)


def test_an_empty_body_and_one_of_another_type_pass(served: Documents) -> None:
    assert get(served, "/body", "empty").body == b""
    assert get(served, "/strict", "empty").status == 200
    assert get(served, "/body", "text").body == ANSWERS["text"][1]


@pytest.mark.parametrize(
    ("path", "want", "headers", "message"),
    [
        ("/body", "broken", [], "is not valid JSON"),
        ("/strict", "text", [], "is not JSON"),
        ("/small", "large", [], "larger than this route can"),
        ("/small", "huge", [], "larger than this route can"),
        ("/body", "json", [("x-encoding", "gzip")], "compressed"),
    ],
)
def test_an_answer_that_cannot_be_changed_is_withheld(
    served: Documents, path: str, want: str, headers: list[tuple[str, str]], message: str
) -> None:
    answer = get(served, path, want, *headers)
    body = answer.json()
    assert (answer.status, body["error"]) == (502, "bad_gateway")
    assert message in body["message"]
    assert body["request_id"] == answer.header("x-request-id")
    assert answer.header("content-type") == JSON
    assert answer.header("content-encoding") is None
    assert answer.header("content-length") == str(len(answer.body))


def test_errors_of_the_gateway_keep_their_body_and_get_the_headers(served: Documents) -> None:
    for path, status in (("/down", 502), ("/private", 401)):
        answer = get(served, path)
        assert answer.status == status
        assert sorted(answer.json()) == ["error", "message", "request_id"]
        assert answer.header("cache-control") == "no-store"
        assert answer.header("x-fluxgate-answered") is None


def test_another_route_is_untouched(served: Documents) -> None:
    answer = get(served, "/plain")
    assert (answer.body, answer.header("x-powered-by")) == (ANSWERS["json"][1], "old")
    assert answer.header("x-status") is None


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bad-identity", "config.headers.set.x-tenant-id"),
        ("bad-query", "config.headers.set.x-a"),
        ("bad-status", "config.headers.set.:status"),
    ],
)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str, field: str
) -> None:
    found = served.condition("Route", name)
    assert (found.status, f"spec.plugins[0].{field}" in found.message) == (False, True)
    assert get(served, f"/{name}").status == CLOSED
