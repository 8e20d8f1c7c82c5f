"""``request-transform``: what the upstream sees of a request, and what no transform may touch."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import api_key, by_key
from support.client import Response, send_bytes
from support.documents import CLOSED, Documents, gateway, obj, route
from support.http2 import http2_request, pseudo
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "identity": ({"headers": {"set": {"X-Tenant-Id": "t"}}}, "headers.set.X-Tenant-Id"),
    "identity-added": ({"headers": {"add": {"x-auth-scopes": "*"}}}, "headers.add.x-auth-scopes"),
    "identity-renamed": ({"headers": {"rename": {"x-a": "x-pg-role"}}}, "headers.rename"),
    "identity-removed": ({"headers": {"remove": ["x-workspace-id"]}}, "headers.remove[0]"),
    "underscores": ({"headers": {"set": {"x_tenant_id": "t"}}}, "headers.set.x_tenant_id"),
    "pseudo": ({"headers": {"set": {":path": "/x"}}}, "headers.set.:path"),
    "host": ({"headers": {"set": {"Host": "x"}}}, "headers.set.Host"),
    "length": ({"headers": {"set": {"content-length": "1"}}}, "headers.set.content-length"),
    "internal": ({"headers": {"set": {"x-envoy-max-retries": "9"}}}, "headers.set.x-envoy"),
    "line-end": ({"headers": {"set": {"x-a": "b\r\nx-c: d"}}}, "headers.set.x-a"),
    "unknown-value": ({"headers": {"set": {"x-a": "${request.body}"}}}, "headers.set.x-a"),
    "open-value": ({"headers": {"set": {"x-a": "${request.id"}}}, "headers.set.x-a"),
    "of-the-answer": ({"headers": {"set": {"x-a": "${response.status}"}}}, "headers.set.x-a"),
    "operator": ({"headers": {"set": {"x-a": "${request.headers.x)%}"}}}, "headers.set.x-a"),
    "twice": ({"headers": {"set": {"x-a": "1"}, "remove": ["x-a"]}}, "headers: x-a"),
    "both": ({"query": {"set": {"a": "1"}, "remove": ["a"]}}, "query.remove"),
    "no-path": ({"body": {"set": {"a..b": 1}}}, "body.set.a..b"),
    "pointer": ({"body": {"remove": ["/a~2"]}}, "body.remove[0]"),
    "every-one": ({"body": {"set": {"a.*": 1}}}, "body.set.a.*"),
    "too-large": ({"body": {"maxBytes": 10**9}}, "body.maxBytes"),
    "unknown-field": ({"header": {}}, "config.header"),
}


def transformed(name: str, port: int, config: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return route(name, port, {"request-transform": config}, **spec)


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    port = echo.port
    headers = {
        "set": {
            "x-environment": "100% prod $5",
            "x-client": "${client.ip}",
            "x-told": "${request.method} ${request.path} ${request.host} ${request.scheme}",
            "x-copy": "<${request.headers.x-old}>",
            "x-id": "${request.id}",
            "x-brace": "$${request.id}",
            "x-absent": "${request.headers.x-nothing}",
        },
        "add": {"x-list": "mine"},
        "rename": {"x-old": "x-new"},
        "remove": ["x-debug"],
    }
    query = {
        "set": {"version": "2", "for": "${request.headers.x-user}"},
        "add": {"tag": "a b&c=d"},
        "remove": ["debug", "admin[]"],
    }
    from_query = {"set": {"x-token": "${request.query.token}"}}
    documents = (
        gateway(),
        obj("Tenant", "acme", {}),
        api_key("caller", tenant="acme"),
        transformed("headers", port, {"headers": headers}),
        transformed("query", port, {"query": query}),
        transformed("from-query", port, {"headers": from_query, "query": {"remove": ["token"]}}),
        transformed("path", port, {"path": {"type": "ReplacePrefix", "value": "/v2"}}),
        transformed("full", port, {"path": {"type": "ReplaceFull", "value": "/one"}}),
        transformed(
            "own", port, {"path": {"type": "ReplaceFull", "value": "/theirs"}, "host": "theirs.test"},
            rewrite={"path": {"type": "ReplaceFull", "value": "/own"}},
        ),
        transformed("host", port, {"host": "internal.example.com"}),
        transformed("upstream-key", port, {"headers": {"set": {"x-api-key": "ours"}}}),
        transformed(
            "identity", port,
            {"headers": {"set": {"x-of": "${request.headers.x-tenant-id}"}},
             "query": {"set": {"tenant": "${request.headers.x-tenant-id}"}}},
            auth={},
        ),
        transformed("body", port, {"body": {"set": {"from": "gateway"}, "maxBytes": 1000}}),
        transformed("strict", port, {"body": {"remove": ["role"], "nonJson": "Refuse"}}),
        transformed(
            "value", port,
            {"body": {"set": {"q": "${request.query.q}", "h": "${request.headers.x-h}"}}},
        ),
        transformed(
            "socket", port, {"body": {"nonJson": "Refuse"}, "query": {"remove": ["debug"]}},
            realtime=True,
        ),
        route("plain", port),
        *(transformed(f"bad-{name}", port, config) for name, (config, _) in MALFORMED.items()),
        transformed(
            "bad-rewrite", port, {"path": {"type": "ReplacePrefix", "value": "/x"}},
            matches=[{"path": {"type": "Regex", "value": "/bad-rewrite/[0-9]+"}}],
        ),
    )  # fmt: skip
    with Documents(*documents) as running:
        yield running


def posted(served: Documents, path: str, body: bytes, *headers: tuple[str, str]) -> Response:
    kind = () if any(name == "content-type" for name, _ in headers) else (JSON,)
    return served.get(path, [*headers, *kind], method="POST", body=body)


JSON = ("content-type", "application/json")


def seen(answer: Response) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json()["body"])


def test_headers_are_set_added_renamed_and_removed(served: Documents) -> None:
    sent = [("x-old", "1"), ("x-old", "2"), ("x-debug", "y"), ("x-list", "theirs"),
            ("x-environment", "client"), ("x-brace", "client")]  # fmt: skip
    answer = served.get("/headers/a?b=c", sent)
    assert answer.echoed("x-environment") == ["100% prod $5"]
    assert answer.echoed("x-list") == ["theirs", "mine"]
    assert (answer.echoed("x-new"), answer.echoed("x-old")) == (["1,2"], [])
    assert answer.echoed("x-debug") == []
    assert answer.echoed("x-brace") == ["${request.id}"]


def test_values_come_from_the_request(served: Documents) -> None:
    answer = served.get("/headers/a?b=c", [("host", "shop.example.com"), ("x-old", "o")])
    assert answer.echoed("x-told") == ["GET /headers/a shop.example.com http"]
    assert answer.echoed("x-client") == ["127.0.0.1"]
    assert answer.echoed("x-copy") == ["<o>"]
    assert answer.echoed("x-id") == [answer.header("x-request-id")]
    assert answer.echoed("x-absent") == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", "for=ann&version=2&tag=a%20b%26c%3Dd"),
        ("?", "for=ann&version=2&tag=a%20b%26c%3Dd"),
        ("?z=1&version=1&y&version=3", "z=1&version=2&y&for=ann&tag=a%20b%26c%3Dd"),
        ("?debug&a=%2F%00%ff+b&debug=1", "a=%2F%00%ff+b&for=ann&version=2&tag=a%20b%26c%3Dd"),
        ("?%64ebug=1&x", "x&for=ann&version=2&tag=a%20b%26c%3Dd"),
        ("?admin%5B%5D=1&debugger=1", "debugger=1&for=ann&version=2&tag=a%20b%26c%3Dd"),
    ],
)
def test_a_query_changes_and_the_other_parameters_keep_their_bytes(
    served: Documents, asked: str, expected: str
) -> None:
    answer = served.get(f"/query{asked}", [("x-user", "ann")])
    assert answer.json()["path"] == f"/query?{expected}"


def test_a_value_cannot_smuggle_a_parameter(served: Documents) -> None:
    answer = served.get("/query", [("x-user", "a&admin=1#%26?x=\xfc")])
    value = "a%26admin%3D1%23%2526%3Fx%3D%FC"
    assert f"?for={value}&" in answer.json()["path"]


@pytest.mark.parametrize(
    ("token", "value"),
    [("abc", ["abc"]), ("a%20b%2Bc+d", ["a b+c d"]), ("a%0d%0ax-evil:1", ["a%0D%0Ax-evil:1"]),
     ("%00%c3%bc", ["%00%C3%BC"]), ("", [])],
)  # fmt: skip
def test_a_value_of_the_query_cannot_end_a_header(
    served: Documents, token: str, value: list[str]
) -> None:
    answer = served.get(f"/from-query?token={token}&x=1")
    assert answer.echoed("x-token") == value
    assert answer.echoed("x-evil") == []
    assert answer.json()["path"] == "/from-query?x=1"


def test_path_and_host_are_rewritten(served: Documents) -> None:
    assert served.get("/path/a?b=1").json()["path"] == "/v2/a?b=1"
    assert served.get("/full/a?b=1").json()["path"] == "/one?b=1"
    assert served.get("/host").echoed("host") == ["internal.example.com"]


def test_the_routes_own_rewrite_decides_what_it_says(served: Documents) -> None:
    answer = served.get("/own/a")
    assert (answer.json()["path"], answer.echoed("host")) == ("/own", ["theirs.test"])


def test_a_route_may_give_its_upstream_a_key_and_the_clients_is_gone(served: Documents) -> None:
    assert served.get("/upstream-key", [("x-api-key", "theirs")]).echoed("x-api-key") == ["ours"]
    assert served.get("/plain", [("x-api-key", "theirs")]).echoed("x-api-key") == []


def test_identity_is_that_of_the_verified_caller(served: Documents) -> None:
    answer = served.get("/identity", [*by_key("caller"), ("x-tenant-id", "evil")])
    assert answer.echoed("x-of") == ["acme"]
    assert answer.json()["path"] == "/identity?tenant=acme"


def test_another_route_is_untouched(served: Documents) -> None:
    body = b' {"a" : 1} '
    answer = posted(served, "/plain?debug&z=%2f", body, ("x-debug", "1"))
    assert (answer.json()["path"], seen(answer)) == ("/plain?debug&z=%2f", body.decode())
    assert answer.echoed("x-debug") == ["1"]
    assert answer.echoed("x-environment") == []


def test_the_length_of_a_changed_body_is_right(served: Documents) -> None:
    answer = posted(served, "/body", b'{"a": "\xc3\xbc"}')
    assert seen(answer).encode("latin-1") == b'{"a":"\xc3\xbc","from":"gateway"}'
    assert answer.echoed("content-length") == [str(len(b'{"a":"\xc3\xbc","from":"gateway"}'))]


def test_a_body_that_comes_in_chunks_is_changed_too(served: Documents) -> None:
    answer = send_bytes(
        served.port,
        b"POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"
        b'transfer-encoding: chunked\r\n\r\n2\r\n{"\r\n4\r\na":1\r\n1\r\n}\r\n0\r\n\r\n',
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert rb"{\"a\":1,\"from\":\"gateway\"}" in answer


def test_a_body_over_http_2_is_changed_too(served: Documents) -> None:
    answer = http2_request(served.port, [*pseudo("/body", "POST"), JSON], body=b"{}")
    assert answer.json()["body"] == '{"from":"gateway"}'


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"]
)
def test_what_says_it_is_json_is_changed(served: Documents, kind: str) -> None:
    assert seen(posted(served, "/body", b"{}", ("content-type", kind))) == '{"from":"gateway"}'


@pytest.mark.parametrize("kind", ["text/plain", "application/jsonp", "application/x-json5"])
def test_another_body_passes_as_it_is(served: Documents, kind: str) -> None:
    assert seen(posted(served, "/body", b"{}", ("content-type", kind))) == "{}"


def test_a_request_without_a_body_passes_as_it_is(served: Documents) -> None:
    answer = served.get("/strict", [JSON])
    assert answer.status == 200
    assert answer.echoed("transfer-encoding") == []
    assert answer.echoed("content-length") == []


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "error"),
    [
        ("/body", b'{"a":}', [], 400, "bad_request"),
        ("/strict", b'{"role":1,}', [], 400, "bad_request"),
        ("/strict", b"a=1", [("content-type", "text/plain")], 415, "unsupported_media_type"),
        ("/strict", b"a", [("content-type", "application/x-json")], 415,
         "unsupported_media_type"),
        ("/body", b"\x1f\x8b", [("content-encoding", "gzip")], 415, "unsupported_media_type"),
        ("/body", b'"' + b"x" * 999 + b'"', [], 413, "payload_too_large"),
        ("/body", b'"' + b"x" * 99_999 + b'"', [], 413, "payload_too_large"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_changed_is_refused(
    served: Documents,
    echo: EchoUpstream,
    path: str,
    body: bytes,
    headers: list[tuple[str, str]],
    status: int,
    error: str,
) -> None:
    echo.clear()
    answer = posted(served, path, body, *headers)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert echo.requests == []


def test_a_refusal_of_a_body_says_why(served: Documents) -> None:
    assert posted(served, "/body", b"{").json()["message"] == "The request body is not valid JSON."


def test_a_body_of_unknown_length_is_bounded(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    chunk = b"3e9\r\n" + b" " * 1001 + b"\r\n"
    answer = send_bytes(
        served.port,
        b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n" + chunk + b"0\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert echo.requests == []


def test_values_stay_inside_their_json_string(served: Documents) -> None:
    answer = posted(
        served, "/value?q=%22,%22admin%22:true,%22%0a%00%5C%ff%c3%bc", b"{}", ("x-h", 'a"b\\c\xff')
    )  # fmt: skip
    body = seen(answer).encode("latin-1")
    header = rb'"h":"a\u0022b\u005cc' + "\ufffd".encode() + b'"'
    query = (
        rb'"q":"\u0022,\u0022admin\u0022:true,\u0022\u000a\u0000\u005c' + "\ufffd\u00fc".encode()
    )
    assert body == b"{" + header + b"," + query + b'"}'


def test_a_websocket_is_not_held_for_its_end(served: Documents) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(
            b"GET /socket?debug HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"ping")
        assert connection.recv(65536) == b"ping"


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_config_names_its_field_and_closes_the_route(
    served: Documents, name: str
) -> None:
    found = served.condition("Route", f"bad-{name}")
    assert not found.status
    assert f"spec.plugins[0].config.{MALFORMED[name][1].removeprefix('config.')}" in found.message
    assert served.get(f"/bad-{name}").status == CLOSED


def test_a_prefix_cannot_be_replaced_where_none_is_matched(served: Documents) -> None:
    found = served.condition("Route", "bad-rewrite")
    assert "config.path.type: ReplacePrefix needs" in found.message
    assert served.get("/bad-rewrite/1").status == CLOSED


def test_a_plugin_that_is_malformed_says_so_itself(echo: EchoUpstream) -> None:
    config = {"headers": {"set": {"x-tenant-id": "t"}}}
    plugin = obj("Plugin", "p", {"type": "request-transform", "config": config,
                                 "targets": [{"kind": "Route", "name": "a"}]})  # fmt: skip
    with Documents(gateway(), plugin, route("a", echo.port)) as served:
        found = served.condition("Plugin", "p")
        assert (found.status, "config.headers.set.x-tenant-id" in found.message) == (False, True)
        assert served.get("/a").status == CLOSED


def test_a_nearer_policy_continues_a_wider_one(echo: EchoUpstream) -> None:
    wide = {"headers": {"set": {"x-a": "wide", "x-b": "wide"}, "remove": ["x-c"]}}
    near = {"headers": {"set": {"x-a": "near"}, "remove": ["x-d"]}}
    plugin = obj("Plugin", "p", {"type": "request-transform", "config": wide,
                                 "targets": [{"kind": "GatewayConfig", "name": "main"}]})  # fmt: skip
    merged = route("a", echo.port)
    merged["spec"]["plugins"] = [
        {"type": "request-transform", "config": near, "mergeStrategy": "Append"}
    ]
    with Documents(gateway(), plugin, merged) as served:
        answer = served.get("/a", [("x-c", "1"), ("x-d", "1")])
    assert [answer.echoed(name) for name in ("x-a", "x-b", "x-c", "x-d")] == [
        ["near"], ["wide"], [], []
    ]  # fmt: skip
