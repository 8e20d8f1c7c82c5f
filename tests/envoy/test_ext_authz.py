"""``ext-authz``: the real Envoy asks a real gRPC service, and an HTTP one."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from envoy.service.auth.v3 import external_auth_pb2 as auth_v3
from support.authorizer import GrpcAuthorizer, passing, refusing
from support.documents import CLOSED, Documents, gateway, obj, route
from support.upstream import Answer, EchoUpstream, SeenRequest

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
IDENTITY = ("x-tenant-id", "x-workspace-id", "x-pg-role", "x-auth-key-id", "x-auth-scopes")


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def http_service() -> Iterator[EchoUpstream]:
    with EchoUpstream() as service:
        yield service


@pytest.fixture(scope="module")
def grpc_service() -> Iterator[GrpcAuthorizer]:
    with GrpcAuthorizer() as service:
        yield service


@pytest.fixture
def http(http_service: EchoUpstream) -> EchoUpstream:
    """The HTTP service, which lets everything pass."""
    http_service.clear()
    http_service.respond = lambda _: Answer(body=b"fine")
    return http_service


@pytest.fixture
def grpc(grpc_service: GrpcAuthorizer) -> GrpcAuthorizer:
    """The gRPC service, which lets everything pass."""
    grpc_service.asked.clear()
    grpc_service.decide = lambda _: passing()
    return grpc_service


@pytest.fixture(scope="module")
def served(
    echo: EchoUpstream, http_service: EchoUpstream, grpc_service: GrpcAuthorizer
) -> Iterator[Documents]:
    http_at = {"backend": {"url": f"http://127.0.0.1:{http_service.port}"}}
    grpc_at = {"backend": {"kind": "Upstream", "name": "authorizer"}}
    nobody = {"backend": {"url": "http://127.0.0.1:1"}}

    def asking(name: str, /, spec: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
        # generous, so that only the slow service is late
        return route(name, echo.port, {"ext-authz": {"timeout": "20s", **config}}, **(spec or {}))

    sets = ["x-department", "x-team-*"]
    target = {"host": "127.0.0.1", "port": grpc_service.port}
    key = {"hash": hashlib.sha256(KEY.encode()).hexdigest(), "prefix": "flc_service_"}
    tenant_uses = {"type": "ext-authz", "tenant": "acme"}
    documents = (
        gateway(),
        obj("Upstream", "authorizer", {"targets": [target]}),
        obj("ApiKey", "key", {**key, "lastFour": "Z012", "tenant": "acme"}),
        obj("Tenant", "acme", {}),
        asking("http", http={**http_at, "path": "/check"}, upstreamHeaders=sets),
        asking("grpc", grpc=grpc_at, upstreamHeaders=sets, addHeaders={"X-Gateway": "main"}),
        asking("bare", grpc=grpc_at),
        asking("all", http=http_at, requestHeaders=["*"], upstreamHeaders=["*"]),
        asking("some", http=http_at, requestHeaders=["x-auth-*"], addHeaders={"x-gateway": "main"}),
        asking("reasons", http={**http_at, "clientHeaders": ["x-reason"]}),
        asking("names", grpc=grpc_at, upstreamHeaders=["x-auth-subject"]),
        asking("key", {"auth": {}}, grpc=grpc_at, requestHeaders=["*"]),
        asking("body", grpc=grpc_at, body={"maxBytes": 10}),
        asking("part", grpc=grpc_at, body={"maxBytes": 10, "allowPartial": True}),
        asking("http-body", http=http_at, body={"maxBytes": 10}),
        asking("away", http=nobody),
        asking("away-403", grpc=nobody, statusOnError=403),
        asking("away-open", http=nobody, failureMode="Open"),
        asking("slow", http=http_at, timeout="50ms"),
        asking("both", grpc=grpc_at, http=http_at),
        asking(
            "long", grpc=grpc_at, upstreamHeaders=[f"x-{letter * 99}" for letter in "abcdefghijkl"]
        ),
        asking(
            "long-http",
            http=http_at,
            upstreamHeaders=[f"x-{letter * 99}" for letter in "abcdefghijkl"],
        ),
        asking("missing", http={"backend": {"name": "missing"}}),
        asking("malformed", http=http_at, timeout="2m"),
        obj(
            "Plugin",
            "tenants",
            {**tenant_uses, "config": {"grpc": grpc_at, "upstreamHeaders": ["X-Tenant-Id"]}},
        ),
        route("tenants", echo.port, tenant="acme")
        | {
            "spec": {
                **route("tenants", echo.port, tenant="acme")["spec"],
                "plugins": [{"name": "tenants"}],
            }
        },
    )
    with Documents(*documents) as running:
        yield running


def http_of(asked: auth_v3.CheckRequest) -> auth_v3.AttributeContext.HttpRequest:
    return asked.attributes.request.http


class TestHttp:
    def test_the_service_sees_method_path_and_what_it_shall_see(
        self, served: Documents, http: EchoUpstream
    ) -> None:
        sent = [("authorization", "Bearer x"), ("x-secret", "s"), ("cookie", "a=b")]
        answer = served.get("/http/page?a=1", sent, method="DELETE")
        assert answer.status == 200
        (asked,) = http.requests
        assert (asked.method, asked.path) == ("DELETE", "/check/http/page?a=1")
        assert asked.header("authorization") == "Bearer x"
        assert asked.header("cookie") == "a=b"
        assert asked.header("x-secret") is None

    def test_names_may_end_in_a_star(self, served: Documents, http: EchoUpstream) -> None:
        served.get("/some", [("x-app", "1"), ("x-forwarded-proto", "https")])
        (asked,) = http.requests
        assert (asked.header("x-app"), asked.header("x-gateway")) == (None, "main")
        served.get("/all", [("x-app", "1")])
        assert http.requests[-1].header("x-app") == "1"

    def test_it_sets_the_headers_that_it_may_set_and_no_others(
        self, served: Documents, http: EchoUpstream
    ) -> None:
        says = {"x-department": "sales", "x-team-a": "1", "x-other": "2", "x-tenant-id": "other"}
        http.respond = lambda _: Answer(headers=says, body=b"")
        answer = served.get("/http", [("x-department", "forged"), ("x-other", "own")])
        assert answer.echoed("x-department") == ["sales"]
        assert answer.echoed("x-team-a") == ["1"]
        assert answer.echoed("x-other") == ["own"]
        assert answer.echoed("x-tenant-id") == []

    def test_a_star_is_no_leave_to_say_who_is_calling(
        self, served: Documents, http: EchoUpstream
    ) -> None:
        says = dict.fromkeys((*IDENTITY, "x-auth-subject"), "forged") | {"x-other": "2"}
        http.respond = lambda _: Answer(headers=says, body=b"")
        answer = served.get("/all")
        assert answer.echoed("x-other") == ["2"]
        assert [answer.echoed(name) for name in says if name != "x-other"] == [[]] * 6

    def test_many_names_are_no_matter_over_http(
        self, served: Documents, http: EchoUpstream
    ) -> None:
        http.respond = lambda _: Answer(headers={"x-" + "c" * 99: "1", "x-zzz": "2"}, body=b"")
        answer = served.get("/long-http")
        assert (answer.echoed("x-" + "c" * 99), answer.echoed("x-zzz")) == (["1"], [])

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429])
    def test_what_it_refuses_is_refused_in_its_words(
        self, served: Documents, http: EchoUpstream, echo: EchoUpstream, status: int
    ) -> None:
        http.respond = lambda _: Answer(status, {"x-reason": "r", "x-no": "n"}, b"not on Sundays")
        before = len(echo.requests)
        answer = served.get("/reasons")
        assert answer.status == status
        assert answer.json()["message"] == "not on Sundays"
        assert answer.json()["request_id"] == answer.header("x-request-id")
        assert (answer.header("x-reason"), answer.header("x-no")) == ("r", None)
        assert len(echo.requests) == before

    def test_it_may_send_browsers_elsewhere(self, served: Documents, http: EchoUpstream) -> None:
        http.respond = lambda _: Answer(302, {"location": "https://login.example.com/"}, b"")
        answer = served.get("/http")
        assert (answer.status, answer.header("location")) == (302, "https://login.example.com/")

    def test_it_gets_the_body_where_it_shall(self, served: Documents, http: EchoUpstream) -> None:
        answer = served.get("/http-body", method="POST", body=b"0123456789")
        assert answer.json()["body"] == "0123456789"
        assert http.requests[0].body == b"0123456789"
        served.get("/http", method="POST", body=b"0123456789")
        assert http.requests[-1].body == b""


class TestGrpc:
    def test_the_service_sees_method_path_and_what_it_shall_see(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        sent = [("authorization", "Bearer x"), ("x-secret", "s"), ("host", "app.example.com")]
        assert served.get("/grpc/page?a=1", sent, method="PUT").status == 200
        (asked,) = grpc.asked
        http = http_of(asked)
        assert (http.method, http.path, http.host) == ("PUT", "/grpc/page?a=1", "app.example.com")
        assert http.headers["authorization"] == "Bearer x"
        assert "x-secret" not in http.headers
        assert asked.attributes.source.address.socket_address.address == "127.0.0.1"
        assert grpc.metadata["x-gateway"] == "main"

    def test_it_sets_the_headers_that_it_may_set_and_no_others(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        grpc.decide = lambda _: passing(x_department="sales", x_other="2", x_tenant_id="other")
        answer = served.get("/grpc", [("x-department", "forged")])
        assert answer.echoed("x-department") == ["sales"]
        assert answer.echoed("x-other") == []
        assert answer.echoed("x-tenant-id") == []
        assert served.get("/bare").echoed("x-department") == []

    def test_it_removes_no_header_that_it_may_not_set(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        def removing(_: auth_v3.CheckRequest) -> auth_v3.CheckResponse:
            answer = passing()
            answer.ok_response.headers_to_remove.extend(["x-department", "x-other"])
            return answer

        grpc.decide = removing
        answer = served.get("/grpc", [("x-department", "1"), ("x-other", "2")])
        assert (answer.echoed("x-department"), answer.echoed("x-other")) == ([], ["2"])

    def test_it_says_who_is_calling_where_it_is_told_to_in_full(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        grpc.decide = lambda _: passing(x_auth_subject="ann", x_tenant_id="other")
        answer = served.get("/names", [("x-auth-subject", "root")])
        assert answer.echoed("x-auth-subject") == ["ann"]
        assert answer.echoed("x-tenant-id") == []

    def test_it_is_asked_about_callers_that_are_known(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        assert served.get("/key").status == 401
        assert grpc.asked == []
        served.get("/key", [("apikey", KEY), ("x-tenant-id", "forged")])
        (asked,) = grpc.asked
        assert http_of(asked).headers["x-tenant-id"] == "acme"
        assert "apikey" not in http_of(asked).headers
        known = asked.attributes.metadata_context.filter_metadata["fluxgate.auth"]
        assert known["tenant"] == "acme"

    def test_what_it_refuses_is_refused_in_its_words(
        self, served: Documents, grpc: GrpcAuthorizer, echo: EchoUpstream
    ) -> None:
        grpc.decide = lambda _: refusing(402, '{"why": "unpaid"}', x_reason="r")
        before = len(echo.requests)
        answer = served.get("/grpc")
        assert (answer.status, answer.header("x-reason")) == (402, "r")
        assert json.loads(answer.json()["message"]) == {"why": "unpaid"}
        assert len(echo.requests) == before

    def test_a_grpc_client_that_is_refused_gets_a_grpc_status(
        self, served: Documents, grpc: GrpcAuthorizer
    ) -> None:
        grpc.decide = lambda _: refusing(403, "no")
        answer = served.get("/grpc", [("content-type", "application/grpc")], method="POST")
        assert (answer.status, answer.header("grpc-status")) == (200, "7")
        assert answer.header("grpc-message") == "no"

    def test_it_gets_the_body_whole_or_in_part(
        self, served: Documents, grpc: GrpcAuthorizer, echo: EchoUpstream
    ) -> None:
        body = bytes(range(250, 256)) + b"1234"
        assert served.get("/body", method="POST", body=body).status == 200
        assert http_of(grpc.asked[-1]).raw_body == body
        before = len(echo.requests)
        refused = served.get("/body", method="POST", body=b"x" * 11)
        assert (refused.status, refused.json()["error"]) == (413, "payload_too_large")
        assert len(echo.requests) == before
        whole = served.get("/part", method="POST", body=b"x" * 11)
        assert whole.json()["body"] == "x" * 11
        assert http_of(grpc.asked[-1]).raw_body == b"x" * 10


class TestWhenItFails:
    @pytest.mark.parametrize(
        ("path", "status", "error"),
        [("/away", 503, "service_unavailable"), ("/away-403", 403, "forbidden")],
    )
    def test_nobody_passes_when_it_is_away(
        self, served: Documents, echo: EchoUpstream, path: str, status: int, error: str
    ) -> None:
        before = len(echo.requests)
        answer = served.get(path)
        assert (answer.status, answer.json()["error"]) == (status, error)
        assert "authorizes requests" in answer.json()["message"]
        assert len(echo.requests) == before

    def test_everybody_passes_where_the_route_says_so(self, served: Documents) -> None:
        assert served.get("/away-open").status == 200

    def test_nobody_passes_when_it_answers_with_an_error(
        self, served: Documents, http: EchoUpstream, grpc: GrpcAuthorizer
    ) -> None:
        http.respond = lambda _: Answer(500, body=b"secret stack trace")
        answer = served.get("/http")
        assert answer.status == 503
        assert b"stack" not in answer.body

        def failing(_: auth_v3.CheckRequest) -> auth_v3.CheckResponse:
            raise RuntimeError("broken")

        grpc.decide = failing
        assert served.get("/grpc").status == 503

    def test_nobody_passes_when_it_is_too_slow(
        self, served: Documents, http: EchoUpstream, echo: EchoUpstream
    ) -> None:
        release = threading.Event()

        def waiting(_: SeenRequest) -> Answer:
            release.wait(10)
            return Answer(body=b"")

        http.respond = waiting
        before = len(echo.requests)
        assert served.get("/slow").status == 503
        release.set()
        assert len(echo.requests) == before

    @pytest.mark.parametrize(
        ("name", "of", "words"),
        [
            ("both", "Accepted", "config: give exactly one of grpc and http"),
            ("long", "Accepted", "config.upstreamHeaders: these are more names than Envoy"),
            ("malformed", "Accepted", "config.timeout: must be between 10ms and 1m"),
            ("missing", "ResolvedRefs", "config.http.backend: Backend default/missing"),
            ("tenants", "ResolvedRefs", "config.upstreamHeaders[0]: x-tenant-id is an identity"),
        ],
    )
    def test_a_broken_config_closes_the_route_and_names_the_field(
        self, served: Documents, name: str, of: str, words: str
    ) -> None:
        condition = served.condition("Route", name, of)
        assert not condition.status
        assert words in condition.message
        assert served.get(f"/{name}").status == CLOSED
