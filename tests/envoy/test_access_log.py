"""The access log: one JSON object a request, without credentials."""

import json
from pathlib import Path

import pytest
from support.client import send_bytes
from support.envoy import eventually
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route, simple
from support.keygateway import api_key
from support.upstream import EchoUpstream, RefusingUpstream

from fluxgate.ir import AccessLogIR, KeyAuth, PlanBucket
from fluxgate.xds.access_log import FIELDS, REFUSED_FOR
from fluxgate.xds.names import IDENTITY_HEADERS

pytestmark = pytest.mark.envoy
KEY = "flc_service_" + "b" * 40


def test_a_line_tells_the_requests_story() -> None:
    with EchoUpstream() as echo, GatewayEnvoy(simple(echo)) as served:
        answer = served.get("/orders/7?page=2", [("user-agent", "spec/1"), ("host", "example.com")])
        (line,) = served.envoy.access_log(count=1)
    assert sorted(line) == sorted([*FIELDS, REFUSED_FOR])
    assert line["method"] == "GET"
    assert line["path"] == "/orders/7"
    assert line["host"] == "example.com"
    assert line["protocol"] == "HTTP/1.1"
    assert line["status"] == 200
    assert line["request_id"] == answer.header("x-request-id")
    assert line["route"] == "route/default/root/0"
    assert line["upstream_cluster"] == "up"
    assert line["upstream_host"] == f"127.0.0.1:{echo.port}"
    assert line["upstream_attempts"] == 1
    assert line["user_agent"] == "spec/1"
    assert line["client"] == "127.0.0.1"
    assert line["bytes_sent"] == len(answer.body)
    assert line["duration_ms"] >= 0
    assert line["caller"] is None


def test_a_verified_key_is_named_by_its_id() -> None:
    key = api_key(KEY, "key-7", tenant="acme", plan="gold")
    with EchoUpstream() as echo:
        routes = (route("/", forward("up"), key_auth=KeyAuth()),)
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),), keys=(key,))) as served:
            assert served.get("/", [("x-api-key", KEY)]).status == 200
            (line,) = served.envoy.access_log(count=1)
    assert line["caller"] == {"key_id": "key-7", "tenant": "acme", "plan": "gold"}


@pytest.mark.parametrize("path", ["/", "/bad%2fpath", "/nowhere"])
def test_a_forged_identity_never_enters_the_log(path: str) -> None:
    """Not even where a request is refused before its identity headers are removed."""
    with EchoUpstream() as echo:
        routes = (route("/x", forward("up")), route("/", forward("up"), key_auth=KeyAuth()))
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),))) as served:
            served.get(path, [(name, "forged") for name in IDENTITY_HEADERS])
            (line,) = served.envoy.access_log(count=1)
    assert line["caller"] is None
    assert "forged" not in str(line)


def test_no_credential_is_ever_logged() -> None:
    key = api_key(KEY, "key-7")
    with EchoUpstream() as echo:
        routes = (
            route("/live", forward("up"), key_auth=KeyAuth(query=True), realtime=True),
            route("/", forward("up"), key_auth=KeyAuth()),
        )
        with GatewayEnvoy(gateway(routes, (cluster("up", echo),), keys=(key,))) as served:
            served.get(f"/live?apikey={KEY}")
            served.get(f"/elsewhere?apikey={KEY}")
            served.get(f"/bad%2fpath?apikey={KEY}")
            served.get("/", [("apikey", KEY)])
            served.get("/", [("authorization", f"Bearer {KEY}")])
            send_bytes(
                served.port, f"GET /x?apikey={KEY} HTTP/1.1\r\napikey: {KEY}\r\n\r\n".encode()
            )
            served.envoy.access_log(count=6)
            assert KEY not in served.envoy.stdout
            assert KEY not in served.envoy.log


def test_a_broken_upstream_is_explained() -> None:
    with RefusingUpstream() as refusing, GatewayEnvoy(simple(refusing)) as served:
        served.get()
        (line,) = served.envoy.access_log(count=1)
    assert line["status"] == 502
    assert line["response_flags"] == "UF"
    assert "upstream_reset_before_response_started" in line["response_code_details"]


def test_a_request_that_matches_no_route_is_logged() -> None:
    with GatewayEnvoy(gateway()) as served:
        served.get("/nowhere")
        (line,) = served.envoy.access_log(count=1)
    assert (line["status"], line["response_flags"], line["route"]) == (404, "NR", None)


def test_text_of_a_client_cannot_break_the_json() -> None:
    with EchoUpstream() as echo, GatewayEnvoy(simple(echo)) as served:
        served.get('/a"b\\c', [("user-agent", 'x"}\\ {"status":1, "y":"')])
        (line,) = served.envoy.access_log(count=1)
    assert line["status"] == 200
    assert line["user_agent"] == 'x"}\\ {"status":1, "y":"'


def test_the_log_goes_to_a_file_where_configured(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with (
        EchoUpstream() as echo,
        GatewayEnvoy(simple(echo, access_log=AccessLogIR(str(path)))) as served,
    ):
        served.get("/a")
        text = eventually(lambda: path.exists() and path.read_text(), what="a log line")
        assert served.envoy.stdout == ""
    assert json.loads(str(text))["path"] == "/a"


def test_the_log_can_be_switched_off() -> None:
    with (
        EchoUpstream() as echo,
        GatewayEnvoy(simple(echo, access_log=AccessLogIR(""))) as served,
    ):
        served.get("/a")
        served.envoy.stop_politely()
        assert served.envoy.stdout == ""


def test_a_line_says_what_the_gateway_refused_a_request_for() -> None:
    spent, limited = api_key(KEY, "key-7"), PlanBucket("small", 1, 86_400_000, 1)
    with EchoUpstream() as echo:
        routes = (
            route("/keyed", forward("up"), key_auth=KeyAuth()),
            route("/scoped", forward("up"), key_auth=KeyAuth(scopes=("a:b",))),
            route("/limited", forward("up"), key_auth=KeyAuth(), plan="small"),
            route("/open", forward("up")),
        )
        of = gateway(routes, (cluster("up", echo),), keys=(spent,), plans=(limited,))
        asked: list[tuple[str, list[tuple[str, str]], int, str | None]] = [
            ("/keyed", [], 401, "authentication"),
            ("/scoped", [("apikey", KEY)], 403, "authentication"),
            ("/limited", [("apikey", KEY)], 200, None),
            ("/limited", [("apikey", KEY)], 429, "rate_limit"),
            ("/nowhere", [], 404, None),
            *[("/open", [("x-echo-status", str(each))], each, None) for each in (401, 403, 429)],
            ("/open", [], 200, None),
        ]
        with GatewayEnvoy(of) as served:
            answers = [served.get(path, headers) for path, headers, *_ in asked]
            lines = served.envoy.access_log(count=len(asked))
    assert [each.status for each in answers] == [status for _, _, status, _ in asked]
    told = {line["request_id"]: (line["status"], line["refused_for"]) for line in lines}
    assert len(lines) == len(asked)
    assert [told[each.header("x-request-id")] for each in answers] == [
        (status, reason) for _, _, status, reason in asked
    ]
