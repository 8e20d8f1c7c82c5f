"""Every answer the proxy makes itself is ``{error, message, request_id}``."""

from collections.abc import Iterator

import pytest
from support.client import request, send_bytes
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route
from support.keygateway import api_key
from support.upstream import (
    EchoUpstream,
    GarbageUpstream,
    MidResponseResetUpstream,
    RefusingUpstream,
    ResettingUpstream,
    SilentUpstream,
)

from fluxgate.ir import DirectResponse, Gateway, KeyAuth, PlanBucket, Thresholds

pytestmark = pytest.mark.envoy
KEY = "flc_service_" + "a" * 40


def _gateway(**upstreams: object) -> Gateway:
    clusters = [cluster(name, each) for name, each in upstreams.items()]
    clusters.append(cluster("empty"))
    clusters.append(
        cluster(
            "full",
            upstreams["echo"],
            thresholds=Thresholds(max_connections=0, max_pending_requests=0, max_requests=0),
        )
    )
    routes = [route(f"/{each.name}", forward(each.name)) for each in clusters]
    routes += [
        route("/slow", forward("silent", timeout_ms=200)),
        route("/private", forward("echo"), key_auth=KeyAuth()),
        route("/scoped", forward("echo"), key_auth=KeyAuth(scopes=("orders:write",))),
        route("/limited", forward("echo"), key_auth=KeyAuth(), plan="tiny"),
        route("/gone", DirectResponse(404, 'not "here"\nanymore \\ ü')),
        route("/closed", DirectResponse(429, "closed for today")),
        route("/fine", DirectResponse(200, "all is well")),
    ]
    plan = PlanBucket("tiny", requests=1, window_ms=3_600_000, burst=1)
    key = api_key(KEY, plan="tiny")
    return gateway(routes, clusters, keys=(key,), plans=(plan,))


@pytest.fixture(scope="module")
def served() -> Iterator[GatewayEnvoy]:
    with (
        EchoUpstream() as echo,
        RefusingUpstream() as refusing,
        ResettingUpstream() as resetting,
        GarbageUpstream() as garbage,
        SilentUpstream() as silent,
        MidResponseResetUpstream() as broken,
        GatewayEnvoy(
            _gateway(
                echo=echo,
                refusing=refusing,
                resetting=resetting,
                garbage=garbage,
                silent=silent,
                broken=broken,
            )
        ) as running,
    ):
        yield running


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/nowhere", 404, "not_found"),
        ("/gone", 404, "not_found"),
        ("/refusing", 502, "bad_gateway"),
        ("/resetting", 502, "bad_gateway"),
        ("/garbage", 502, "bad_gateway"),
        ("/slow", 504, "gateway_timeout"),
        ("/empty", 503, "service_unavailable"),
        ("/full", 503, "service_unavailable"),
        ("/private", 401, "unauthorized"),
    ],
)
def test_a_local_reply_has_the_error_shape(
    served: GatewayEnvoy, path: str, status: int, error: str
) -> None:
    answer = served.get(path)
    body = answer.json()
    assert (answer.status, body["error"]) == (status, error)
    assert sorted(body) == ["error", "message", "request_id"]
    assert body["message"]
    assert body["request_id"] == answer.header("x-request-id")
    assert answer.header("content-type") == "application/json"


def test_a_key_without_the_scope_is_forbidden(served: GatewayEnvoy) -> None:
    answer = served.get("/scoped", [("apikey", KEY)])
    assert (answer.status, answer.json()["error"]) == (403, "forbidden")
    assert answer.json()["message"]


def test_a_request_over_the_plan_is_rate_limited(served: GatewayEnvoy) -> None:
    assert served.get("/limited", [("apikey", KEY)]).status == 200
    answer = served.get("/limited", [("apikey", KEY)])
    assert (answer.status, answer.json()["error"]) == (429, "rate_limited")
    assert int(answer.header("retry-after") or 0) > 0
    assert answer.json()["message"] == (
        "The rate limit is used up; retry after the seconds in the retry-after header."
    )


def test_a_429_of_a_routes_own_keeps_its_words(served: GatewayEnvoy) -> None:
    answer = served.get("/closed")
    assert (answer.status, answer.json()["error"]) == (429, "rate_limited")
    assert answer.json()["message"] == "closed for today"


def test_a_message_with_quotes_and_line_ends_stays_valid_json(served: GatewayEnvoy) -> None:
    assert served.get("/gone").json()["message"] == 'not "here"\nanymore \\ ü'


def test_local_replies_below_400_are_left_alone(served: GatewayEnvoy) -> None:
    answer = served.get("/fine")
    assert (answer.status, answer.body) == (200, b"all is well")


def test_errors_of_the_upstream_pass_untouched(served: GatewayEnvoy) -> None:
    answer = served.get("/echo", [("x-echo-status", "503")])
    assert answer.status == 503
    assert answer.json()["upstream"] == "echo"


def test_a_head_request_gets_the_status_without_a_body(served: GatewayEnvoy) -> None:
    answer = served.get("/refusing", method="HEAD")
    assert (answer.status, answer.body) == (502, b"")


@pytest.mark.parametrize(
    ("payload", "status", "error"),
    [
        (b"GARBAGE\r\n\r\n", 400, b"bad_request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, b"bad_request"),
        (b"GET / HTTP/1.0\r\nhost: a\r\n\r\n", 426, b"upgrade_required"),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nx-big: " + b"a" * 70_000 + b"\r\n\r\n",
            431,
            b"request_headers_too_large",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x-many: a\r\n" * 150 + b"\r\n",
            431,
            b"request_headers_too_large",
        ),
    ],
    ids=["not HTTP", "no host", "HTTP/1.0", "large header", "many headers"],
)
def test_a_malformed_request_gets_the_error_shape_too(
    served: GatewayEnvoy, payload: bytes, status: int, error: bytes
) -> None:
    answer = send_bytes(served.port, payload)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"error":"%s"' % error in answer
    assert b"content-type: application/json" in answer


@pytest.mark.parametrize(
    ("path", "status"), [("/refusing", "14"), ("/empty", "14"), ("/slow", "4"), ("/nowhere", "12")]
)
def test_a_grpc_client_gets_a_grpc_status_and_a_plain_message(
    served: GatewayEnvoy, path: str, status: str
) -> None:
    answer = request(
        served.port,
        path,
        method="POST",
        headers=[("content-type", "application/grpc"), ("te", "trailers")],
    )
    assert answer.header("grpc-status") == status
    assert "{" not in (answer.header("grpc-message") or "")


def test_an_answer_that_breaks_off_ends_the_connection(served: GatewayEnvoy) -> None:
    answer = send_bytes(served.port, b"GET /broken HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"half")
