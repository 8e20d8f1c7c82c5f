"""``direct-response``: answers that stand in the configuration."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from support.documents import CLOSED, Documents, gateway, route
from support.http2 import http2_request, pseudo

pytestmark = pytest.mark.envoy
PAGE = '<b>100% "gone"</b> \\ ${request.id} %REQ(x-secret)% ü'


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    html = {"status": 404, "body": PAGE, "contentType": "text/html; charset=utf-8",
            "headers": {"X-Rate": "50%", "cache-control": "no-store"}}  # fmt: skip
    texts = {"body": "hello"}
    data = {"body": '{"status": "ok"}', "contentType": "application/json"}
    documents = (
        gateway(),
        route("html", 9, {"direct-response": html}, backends=[]),
        route("text", 9, {"direct-response": texts}),
        route("json", 9, {"direct-response": data}),
        route("empty", 9, {"direct-response": {"status": 204}}),
        route("error", 9, {"direct-response": {"status": 503}}),
        route("limited", 9, {"direct-response": {"status": 429, "body": "own words"}}),
        route("private", 9, {"direct-response": {"status": 404, "body": PAGE}}, auth={}),
        route("large", 9, {"direct-response": {"body": "x" * 4096}}),
        route("bad-size", 9, {"direct-response": {"body": "ü" * 4000}}),
        route("bad-status", 9, {"direct-response": {"status": 100}}),
        route("bad-header", 9, {"direct-response": {"headers": {"x-auth-subject": "a"}}}),
        route("bad-type", 9, {"direct-response": {"contentType": "html"}}),
    )
    with Documents(*documents) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "status", "kind", "body"),
    [
        ("/html", 404, "text/html; charset=utf-8", PAGE),
        ("/text", 200, "text/plain; charset=utf-8", "hello"),
        ("/json", 200, "application/json", '{"status": "ok"}'),
        ("/limited", 429, "text/plain; charset=utf-8", "own words"),
        ("/empty", 204, None, ""),
        ("/large", 200, "text/plain; charset=utf-8", "x" * 4096),
    ],
)
def test_an_answer_is_sent_as_it_is_written(
    served: Documents, path: str, status: int, kind: str | None, body: str
) -> None:
    for method in ("GET", "POST"):
        answer = served.get(path, [("x-secret", "s")], method=method)
        assert (answer.status, answer.header("content-type")) == (status, kind)
        assert answer.body.decode() == body


def test_it_has_the_headers(served: Documents) -> None:
    answer = served.get("/html")
    assert (answer.header("x-rate"), answer.header("cache-control")) == ("50%", "no-store")
    assert answer.header("content-length") == str(len(PAGE.encode()))


def test_over_http_2_too(served: Documents) -> None:
    answer = http2_request(served.port, pseudo("/html"))
    assert (answer.status, answer.body.decode()) == (404, PAGE)


def test_a_head_request_gets_no_body(served: Documents) -> None:
    answer = served.get("/html", method="HEAD")
    assert (answer.status, answer.body) == (404, b"")


def test_refusals_on_the_route_keep_the_error_shape(served: Documents) -> None:
    answer = served.get("/private")
    assert (answer.status, answer.json()["error"]) == (401, "unauthorized")


def test_a_grpc_client_gets_a_grpc_status(served: Documents) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{served.port}")
    with channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/limited/Call")(b"x", timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.details() == "own words"


def test_another_route_answers_otherwise(served: Documents) -> None:
    assert served.get("/nowhere").json()["error"] == "not_found"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("bad-size", "config.body: has 8000 bytes"),
        ("bad-status", "config.status"),
        ("bad-header", "config.headers.x-auth-subject"),
        ("bad-type", "config.contentType"),
    ],
)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str, field: str
) -> None:
    assert f"spec.plugins[0].{field}" in served.condition("Route", name).message
    assert served.get(f"/{name}").status == CLOSED
