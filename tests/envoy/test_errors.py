"""Every cause of an error, as HTTP/1.1, HTTP/2 and gRPC clients see it: one shape, the right status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest
from support.callers import api_key, key_text
from support.client import request, send_bytes
from support.documents import Documents, gateway, obj, route
from support.http2 import http2_request, pseudo
from support.upstream import (
    EchoUpstream,
    GarbageUpstream,
    MidResponseResetUpstream,
    RefusingUpstream,
    ResettingUpstream,
    SilentUpstream,
)

pytestmark = pytest.mark.envoy
Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Case:
    """What a client sees when it calls ``path`` with ``headers`` and ``body``."""

    path: str
    status: int
    error: str
    code: Code
    message: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


KEY = ("apikey", key_text("caller"))
CASES = {
    "refused": Case("/refusing", 502, "bad_gateway", Code.UNAVAILABLE, "refused or broke"),
    "reset": Case("/resetting", 502, "bad_gateway", Code.UNAVAILABLE, "refused or broke"),
    "garbage": Case("/garbage", 502, "bad_gateway", Code.UNAVAILABLE, "not valid HTTP"),
    "timeout": Case("/slow", 504, "gateway_timeout", Code.DEADLINE_EXCEEDED, "in time"),
    "no target": Case(
        "/empty", 503, "service_unavailable", Code.UNAVAILABLE, "No healthy upstream"
    ),
    "full": Case("/full", 503, "service_unavailable", Code.UNAVAILABLE, "circuit breaker"),
    "no route": Case("/nowhere", 404, "not_found", Code.UNIMPLEMENTED, "No route matches"),
    "no credential": Case(
        "/private", 401, "unauthorized", Code.UNAUTHENTICATED, "An API key is required"
    ),
    "bad credential": Case(
        "/private",
        401,
        "unauthorized",
        Code.UNAUTHENTICATED,
        "not valid",
        (("apikey", "flc_service_" + "0" * 32),),
    ),
    "wrong scope": Case(
        "/scoped", 403, "forbidden", Code.PERMISSION_DENIED, "lacks the scope", (KEY,)
    ),
    "wrong address": Case(
        "/elsewhere", 403, "forbidden", Code.PERMISSION_DENIED, "address or certificate"
    ),
    "limit": Case("/limited", 429, "rate_limited", Code.RESOURCE_EXHAUSTED, "limit is used up"),
    "body too large": Case(
        "/small", 413, "payload_too_large", Code.RESOURCE_EXHAUSTED, "larger", body=b"x" * 5000
    ),
    "bad request": Case(
        "/a%2fb", 400, "bad_request", Code.INVALID_ARGUMENT, "malformed or its path"
    ),
    "maintenance": Case("/maintained", 503, "service_unavailable", Code.UNAVAILABLE, "back at six"),
    "fault": Case("/faulty", 503, "service_unavailable", Code.UNAVAILABLE, "on purpose"),
    "broken policy": Case(
        "/misconfigured", 503, "service_unavailable", Code.UNAVAILABLE, "policies could not"
    ),
}


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    with (
        EchoUpstream() as echo,
        RefusingUpstream() as refusing,
        ResettingUpstream() as resetting,
        GarbageUpstream() as garbage,
        SilentUpstream() as silent,
    ):
        nobody = [{"kind": "Upstream", "name": "empty"}]
        none = {"maxPendingRequests": 0}
        abort = {"abort": {"status": 503, "message": "on purpose"}}
        documents = (
            gateway(),
            api_key("caller", audience="service", scopes=["orders:read"]),
            obj("Upstream", "empty", {"targets": []}),
            route("refusing", refusing.port),
            route("resetting", resetting.port),
            route("garbage", garbage.port),
            route("slow", silent.port, timeouts={"request": "200ms"}),
            route("empty", 9, backends=nobody),
            route("full", echo.port, circuitBreaker=none),
            route("private", echo.port, auth={}),
            route("scoped", echo.port, auth={"scopes": ["orders:write"]}),
            route("elsewhere", echo.port, {"ip-restriction": {"allow": ["192.0.2.0/24"]}}),
            route("limited", echo.port, rateLimit={"requests": 1, "window": "1h", "burst": 1}),
            route("small", echo.port, {"request-size": {"maxBytes": 1000}}),
            route("maintained", echo.port, {"request-termination": {"message": "back at six"}}),
            route("faulty", echo.port, {"fault": abort}),
            route("misconfigured", echo.port, {"redirect": {"status": 200}}),
        )
        with Documents(*documents) as running:
            running.get("/limited")
            yield running


def sent(case: Case) -> tuple[str, list[tuple[str, str]]]:
    return ("POST" if case.body else "GET"), list(case.headers)


@pytest.mark.parametrize("name", CASES)
def test_an_http_1_client_gets_the_status_and_the_shape(served: Documents, name: str) -> None:
    case = CASES[name]
    method, headers = sent(case)
    answer = served.get(case.path, headers, method=method, body=case.body or None)
    body = answer.json()
    assert (answer.status, body["error"]) == (case.status, case.error)
    assert sorted(body) == ["error", "message", "request_id"]
    assert case.message in body["message"]
    assert body["request_id"] == answer.header("x-request-id")
    assert len(body["request_id"]) == 36
    assert answer.header("content-type") == "application/json"


@pytest.mark.parametrize("name", CASES)
def test_an_http_2_client_gets_the_same(served: Documents, name: str) -> None:
    case = CASES[name]
    method, headers = sent(case)
    fields = [*pseudo(case.path, method), *headers]
    answer = http2_request(served.port, fields, body=case.body)
    body = answer.json()
    assert (answer.status, body["error"]) == (case.status, case.error)
    assert case.message in body["message"]
    assert body["request_id"] == dict(answer.headers)["x-request-id"]


@pytest.mark.parametrize("name", [name for name in CASES if name != "body too large"])
def test_a_grpc_client_gets_the_grpc_status_and_a_plain_message(
    served: Documents, name: str
) -> None:
    case = CASES[name]
    metadata = [(key, value) for key, value in case.headers]
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        call = channel.unary_unary(f"{case.path}/Call")
        with pytest.raises(grpc.RpcError) as caught:
            call(case.body or b"x", metadata=metadata, timeout=60)
    assert caught.value.code() is case.code, caught.value.details()
    assert case.message in caught.value.details()
    assert "{" not in caught.value.details()


def test_a_grpc_request_that_tells_too_large_a_length_is_out_of_resources(
    served: Documents,
) -> None:
    told = [("content-type", "application/grpc"), ("te", "trailers"), ("content-length", "5000")]
    answer = http2_request(served.port, [*pseudo("/small", "POST"), *told], body=b"x" * 5000)
    fields = dict(answer.headers)
    assert (answer.status, fields["grpc-status"]) == (200, "8")
    assert "larger" in fields["grpc-message"]


def test_every_cause_of_the_feature_table_has_its_status() -> None:
    assert {case.status for case in CASES.values()} >= {401, 403, 404, 413, 429, 502, 503, 504}


def test_a_grpc_client_over_the_limit_learns_when_to_come_back(served: Documents) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/limited/Call")(b"x", timeout=60)
        received = dict(caught.value.initial_metadata()) | dict(caught.value.trailing_metadata())
    assert int(received["retry-after"]) > 0


@pytest.mark.parametrize(
    ("payload", "status", "error"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /a%2fb HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.0\r\nhost: a\r\n\r\n", 426, "upgrade_required"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431,
         "request_headers_too_large"),
    ],
    ids=["not HTTP", "no host", "bad path", "HTTP/1.0", "large header"],
)  # fmt: skip
def test_a_refusal_before_the_request_has_an_id_makes_one_that_the_log_shows(
    served: Documents, payload: bytes, status: int, error: str
) -> None:
    head, _, text = send_bytes(served.port, payload).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    made = next(
        line.split()[1] for line in head.decode().splitlines() if line.startswith("x-request-id:")
    )
    assert f'"error":"{error}"' in text.decode()
    assert f'"request_id":"{made}"' in text.decode()
    assert len(made) == 36
    assert made in {line["request_id"] for line in served.envoy.access_log(count=1)}


def test_ids_of_early_refusals_differ(served: Documents) -> None:
    answers = {
        send_bytes(served.port, b"GARBAGE\r\n\r\n").rpartition(b"request_id")[2] for _ in "ab"
    }
    assert len(answers) == 2


def test_an_answer_that_breaks_off_is_no_whole_answer() -> None:
    with MidResponseResetUpstream() as broken, Documents(
        gateway(), route("broken", broken.port)
    ) as served:  # fmt: skip
        answer = send_bytes(served.port, b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"half")


def test_a_head_request_gets_the_status_and_no_body(served: Documents) -> None:
    answer = request(served.port, "/nowhere", method="HEAD")
    assert (answer.status, answer.body) == (404, b"")
