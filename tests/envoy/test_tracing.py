"""Spans and log records: what a collector is told of a request, refused or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from support.client import Response
from support.collector import CLIENT, Collector, Record, Span
from support.envoy import eventually
from support.gateway import ORIGIN, GatewayEnvoy, cluster, forward, gateway, route
from support.keygateway import api_key
from support.upstream import EchoUpstream

from fluxgate.ir import (
    AccessLogIR,
    CollectorIR,
    EndpointIR,
    Gateway,
    KeyAuth,
    LogExportIR,
    PlanBucket,
    TracingIR,
)
from fluxgate.ir.policies.rate_limit import CountedBy, LimitBucket, RouteLimits, Slot, SlotUse

pytestmark = pytest.mark.envoy

KEY, SPENT = "flc_service_" + "b" * 40, "flc_service_" + "c" * 40
SLOT = Slot(CountedBy.ADDRESS)
BY_ADDRESS = RouteLimits(local=((SLOT.key, "by-address"),))
COUNTED = (
    LimitBucket("by-address", ORIGIN, SLOT, requests=1_000, window_ms=60_000, burst=1_000),
    SlotUse(SLOT.key, ORIGIN, SLOT),
)
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
AT_ONCE = {"tracing.opentelemetry.min_flush_spans": 1}
"""Spans are sent when there are five, or after five seconds, unless runtime says otherwise."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def served(collector: Collector, echo: EchoUpstream, **tracing: object) -> Gateway:
    """Open, keyed and limited routes, traced."""
    routes = (
        route("/open", forward("up")),
        route("/keyed", forward("up"), key_auth=KeyAuth()),
        route("/scoped", forward("up"), key_auth=KeyAuth(scopes=("orders:write",))),
        route("/limited", forward("up"), key_auth=KeyAuth(), plan="small"),
        route("/live", forward("up"), key_auth=KeyAuth(query=True), realtime=True),
        route("/by-address", forward("up"), plan="small"),
        route("/both", forward("up"), key_auth=KeyAuth(), policies=(BY_ADDRESS,)),
    )
    keys = (api_key(KEY, "key-7", tenant="acme"), api_key(SPENT, "key-8", tenant="acme"))
    over_grpc = CollectorIR("collector", f"127.0.0.1:{collector.port}")
    traced = {"collector": over_grpc, "service_name": "edge", **tracing}
    return gateway(
        routes,
        (cluster("up", echo), cluster("collector", collector, protocol="HTTP2")),
        keys=keys,
        plans=(PlanBucket("small", 1, 86_400_000, 2),),
        shared=COUNTED,
        tracing=TracingIR(**traced),  # type: ignore[arg-type]
        log_export=LogExportIR(over_grpc, "edge", (("region", "100 % north"),)),
    )


@dataclass
class World:
    """One gateway and its collector."""

    envoy: GatewayEnvoy
    collector: Collector

    def told(self, path: str, *headers: tuple[str, str]) -> tuple[Response, Span]:
        """A request, and the span of it."""
        answer = self.envoy.get(path, headers)
        return answer, self.collector.first(answer.header("x-request-id") or "")

    def attempt(self, span: Span) -> Span:
        """The span of what was asked of the upstream, which may arrive later than the request's."""

        def find() -> Span | None:
            found = self.collector.spans()
            mine = (each for each in found if (each.kind, each.parent_id) == (CLIENT, span.span_id))
            return next(mine, None)

        attempt = eventually(find, what="the span of the attempt")
        assert attempt is not None
        return attempt

    def logged(self, answer: Response) -> tuple[dict[str, object], Record]:
        """The line and the record of a request."""
        request_id = answer.header("x-request-id") or ""
        line = self.line(lambda each: each["request_id"] == request_id)
        return line, self.collector.record(request_id)

    def line(self, wanted: Callable[[dict[str, object]], bool]) -> dict[str, object]:
        """The first line that is ``wanted``."""
        lines = self.envoy.envoy.access_log(count=1)
        while not (mine := [each for each in lines if wanted(each)]):
            lines = self.envoy.envoy.access_log(count=len(lines) + 1)
        return mine[0]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Collector() as collector, EchoUpstream() as echo:
        resource = (("deployment.environment.name", "staging"),)
        with GatewayEnvoy(served(collector, echo, resource=resource), runtime=AT_ONCE) as envoy:
            yield World(envoy, collector)


def said(span: Span) -> tuple[str | None, ...]:
    """Authentication, limit, route."""
    names = ("fluxgate.auth.result", "fluxgate.rate_limit.result", "fluxgate.route")
    return tuple(span.attributes.get(name) for name in names)


class TestStory:
    def test_an_open_request_was_not_authenticated_nor_limited_and_took_a_route(
        self, world: World
    ) -> None:
        answer, span = world.told("/open/1")
        assert answer.status == 200
        assert said(span) == ("none", "none", "route/default/open/0")
        assert span.name == "GET route/default/open/0"
        assert span.attributes["http.status_code"] == "200"
        assert span.attributes["upstream_cluster"] == "up"
        assert span.parent_id == ""

    def test_a_verified_key_is_named_by_its_id_and_tenant(self, world: World) -> None:
        _, span = world.told("/keyed", ("apikey", KEY))
        assert said(span) == ("verified", "none", "route/default/keyed/0")
        assert span.attributes["fluxgate.auth.key_id"] == "key-7"
        assert span.attributes["fluxgate.auth.tenant"] == "acme"

    @pytest.mark.parametrize("headers", [(), (("apikey", "flc_service_wrong"),)])
    def test_a_missing_or_wrong_key_was_refused(
        self, world: World, headers: tuple[tuple[str, str], ...]
    ) -> None:
        answer, span = world.told("/keyed", *headers)
        assert answer.status == 401
        assert said(span) == ("refused", "none", "route/default/keyed/0")
        assert span.attributes["response_code_details"] == "lua_response"
        assert "fluxgate.auth.key_id" not in span.attributes

    def test_a_key_that_lacks_a_scope_was_refused_by_name(self, world: World) -> None:
        answer, span = world.told("/scoped", ("apikey", KEY))
        assert answer.status == 403
        assert said(span)[:2] == ("refused", "none")
        assert span.attributes["fluxgate.auth.key_id"] == "key-7"

    def test_a_limit_was_kept_and_then_reached(self, world: World) -> None:
        spans = [world.told("/limited", ("apikey", SPENT))[1] for _ in range(3)]
        assert [said(each)[:2] for each in spans] == [
            ("verified", "within"),
            ("verified", "within"),
            ("verified", "limited"),
        ]
        assert {each.attributes["fluxgate.rate_limit.plan"] for each in spans} == {"small"}
        assert spans[2].attributes["http.status_code"] == "429"
        assert spans[2].attributes["response_flags"] == "RL"

    def test_a_limit_by_address_counts_without_a_caller(self, world: World) -> None:
        _, span = world.told("/by-address")
        assert said(span) == ("none", "within", "route/default/by-address/0")

    def test_who_is_refused_is_not_counted(self, world: World) -> None:
        _, refused = world.told("/both")
        _, passed = world.told("/both", ("apikey", KEY))
        assert said(refused)[:2] == ("refused", "none")
        assert said(passed)[:2] == ("verified", "within")

    def test_a_request_without_a_route_has_a_span_that_says_so(self, world: World) -> None:
        answer, span = world.told("/nowhere")
        assert answer.status == 404
        assert said(span) == ("none", "none", None)
        assert span.name.strip() == "GET"
        assert span.attributes["response_flags"] == "NR"

    @pytest.mark.parametrize(("status", "expected"), [(401, "verified"), (429, "verified")])
    def test_what_the_upstream_refuses_was_not_refused_here(
        self, world: World, status: int, expected: str
    ) -> None:
        headers = (("apikey", KEY), ("x-echo-status", str(status)))
        answer, span = world.told("/keyed", *headers)
        assert answer.status == status
        assert said(span)[:2] == (expected, "none")

    def test_the_resource_names_the_service(self, world: World) -> None:
        _, span = world.told("/open")
        assert span.resource["service.name"] == "edge"
        assert span.resource["deployment.environment.name"] == "staging"


class TestSecrets:
    def test_no_credential_and_no_query_is_in_anything_exported(self, world: World) -> None:
        answers = [
            world.told(f"/live?apikey={KEY}&card=canary-card")[0],
            world.told("/keyed?card=canary-card", ("authorization", f"Bearer {KEY}"))[0],
            world.told(f"/nowhere?apikey={KEY}&card=canary-card")[0],
            world.told("/keyed", ("x-api-key", KEY), ("cookie", "session=canary-card"))[0],
        ]
        assert [each.status for each in answers] == [200, 200, 404, 200]
        records = [world.logged(each)[1] for each in answers]
        text = f"{world.collector.spans()} {records}"
        assert "key-7" in text
        assert KEY not in text
        assert "canary-card" not in text

    def test_the_url_is_there_without_its_query(self, world: World) -> None:
        _, span = world.told("/open/7?page=2", ("host", "api.example.com"))
        assert span.attributes["http.url"] == "http://api.example.com/open/7"


class TestContext:
    def test_an_incoming_trace_is_continued_and_forwarded(self, world: World) -> None:
        given = ("traceparent", f"00-{TRACE}-{PARENT}-01")
        answer, span = world.told("/open", given, ("tracestate", "vendor=1"))
        assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
        assert span.trace_state == "vendor=1"
        (forwarded,) = answer.echoed("traceparent")
        attempt = world.attempt(span)
        assert forwarded == f"00-{TRACE}-{attempt.span_id}-01"
        assert answer.echoed("tracestate") == ["vendor=1"]

    def test_a_request_without_one_begins_a_trace(self, world: World) -> None:
        answer, span = world.told("/open")
        (forwarded,) = answer.echoed("traceparent")
        assert forwarded.split("-")[1] == span.trace_id

    @pytest.mark.parametrize(
        "nonsense",
        [
            "garbage",
            f"00-{TRACE}-{PARENT}",
            f"00-{TRACE.upper()}-{PARENT}-01",
            f"00-{'0' * 32}-{PARENT}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"ff-{TRACE}-{PARENT}-01",
        ],
    )
    def test_a_malformed_parent_hides_nothing(self, world: World, nonsense: str) -> None:
        answer, span = world.told("/open", ("traceparent", nonsense))
        assert span.parent_id == ""
        (forwarded,) = answer.echoed("traceparent")
        assert forwarded.split("-")[1] == span.trace_id
        assert answer.echoed("x-fluxgate-traceparent") == []

    def test_our_own_working_header_cannot_be_given(self, world: World) -> None:
        given = ("x-fluxgate-traceparent", f"00-{TRACE}-{PARENT}-01")
        answer, span = world.told("/open", given)
        assert span.trace_id != TRACE
        assert answer.echoed("x-fluxgate-traceparent") == []

    def test_a_caller_that_does_not_record_is_followed(self, world: World) -> None:
        request_id = (
            world.envoy.get("/open", [("traceparent", f"00-{TRACE}-{PARENT}-00")]).header(
                "x-request-id"
            )
            or ""
        )
        world.told("/open")
        assert world.collector.spans(request_id) == []

    def test_a_client_cannot_force_a_span(self) -> None:
        forced = [
            ("traceparent", f"00-{TRACE}-{PARENT}-01"),
            ("x-client-trace-id", "1"),
            ("x-envoy-force-trace", "1"),
        ]
        with Collector() as collector, EchoUpstream() as echo:
            of = served(collector, echo, sampling_percent=0, follow_parent=False)
            with GatewayEnvoy(of, runtime=AT_ONCE) as envoy:
                answers = [envoy.get("/open", [each]) for each in forced]
                for each in answers:
                    collector.record(each.header("x-request-id") or "")
                assert collector.spans() == []
        assert answers[0].echoed("traceparent")[0].startswith(f"00-{TRACE}-")

    def test_half_of_the_traces_is_half(self) -> None:
        """2,000 requests at 50 %: six standard deviations are 134."""
        with (
            Collector() as collector,
            EchoUpstream() as echo,
            GatewayEnvoy(served(collector, echo, sampling_percent=50)) as envoy,
        ):
            answers = [envoy.get("/open") for _ in range(2_000)]
            flags = [each.echoed("traceparent")[0][-2:] for each in answers]
        assert 866 <= flags.count("01") <= 1_134


class TestRequestId:
    def test_the_id_is_made_forwarded_returned_and_in_every_span_and_log_line(
        self, world: World
    ) -> None:
        answer, span = world.told("/open")
        request_id = answer.header("x-request-id") or ""
        assert UUID.fullmatch(request_id)
        assert answer.echoed("x-request-id") == [request_id]
        line, record = world.logged(answer)
        world.attempt(span)
        spans = [each for each in world.collector.spans() if each.trace_id == span.trace_id]
        assert [each.attributes["request_id"] for each in spans] == [request_id] * 2
        assert line["request_id"] == record.attributes["request_id"] == request_id

    def test_a_refusal_has_one_too(self, world: World) -> None:
        answer, span = world.told("/keyed")
        request_id = answer.header("x-request-id")
        assert answer.json()["request_id"] == span.attributes["request_id"] == request_id

    def test_an_id_that_a_client_chose_is_kept_as_it_is_where_allowed(self) -> None:
        """Envoy would write its sampling decision into a UUID, which changes it."""
        chosen = ["6f1c8c8e-1d5b-4c52-9f0e-2f6f0a3d7b11", "order-4711"]
        with Collector() as collector, EchoUpstream() as echo:
            of = served(collector, echo)
            kept = replace(of, preserve_request_id=True)
            with GatewayEnvoy(kept, runtime=AT_ONCE) as envoy:
                answers = [envoy.get("/open", [("x-request-id", each)]) for each in chosen]
                assert [each.header("x-request-id") for each in answers] == chosen
                assert [each.echoed("x-request-id") for each in answers] == [[c] for c in chosen]
                for each in chosen:
                    assert collector.first(each).attributes["request_id"] == each


class TestLog:
    def test_a_line_a_record_and_a_span_say_the_same(self, world: World) -> None:
        for path, headers in (
            ("/open", ()),
            ("/keyed", (("apikey", KEY),)),
            ("/keyed", ()),
            ("/nowhere", ()),
        ):
            answer, span = world.told(path, *headers)
            line, record = world.logged(answer)
            assert line["trace_id"] == record.trace_id == span.trace_id
            assert record.span_id == span.span_id
            assert record.attributes["authentication"] == said(span)[0]
            assert record.attributes["rate_limit"] == said(span)[1]
            assert (line["refused_for"] == "authentication") is (said(span)[0] == "refused")
            assert (line["caller"] is not None) is (said(span)[0] == "verified")
            assert line["route"] == span.attributes.get("fluxgate.route")
            assert record.body == f"GET {path} {answer.status}"

    def test_a_record_names_its_service_and_resource(self, world: World) -> None:
        record = world.logged(world.envoy.get("/open"))[1]
        assert record.resource["service.name"] == "edge"
        assert record.resource["region"] == "100 % north"

    def test_a_request_refused_before_any_route_is_logged_without_a_trace(
        self, world: World
    ) -> None:
        answer = world.envoy.get("/bad%2fpath")
        assert answer.status == 400
        line = world.line(lambda each: each["status"] == 400)
        assert line["request_id"] == answer.json()["request_id"]
        assert (line["trace_id"], line["route"]) == (None, None)

    def test_records_are_sent_where_nothing_is_written(self) -> None:
        with Collector() as collector, EchoUpstream() as echo:
            of = served(collector, echo)
            quiet = replace(of, access_log=AccessLogIR(""), tracing=None)
            with GatewayEnvoy(quiet) as envoy:
                answer = envoy.get("/keyed", [("apikey", KEY)])
                record = collector.record(answer.header("x-request-id") or "")
                assert '"key_id":"key-7"' in record.attributes["caller"]
                assert envoy.envoy.stdout == ""


class TestTransport:
    def test_spans_can_be_posted_over_http(self) -> None:
        with Collector() as collector, EchoUpstream() as echo:
            of = served(collector, echo)
            port = collector.http_port
            endpoints = (EndpointIR("127.0.0.1", port),)
            to = CollectorIR("posts", f"127.0.0.1:{port}", f"http://127.0.0.1:{port}")
            posting = replace(
                of,
                clusters=(*of.clusters, cluster("posts", endpoints=endpoints)),
                tracing=TracingIR(to, "edge"),
            )
            with GatewayEnvoy(posting, runtime=AT_ONCE) as envoy:
                answer = envoy.get("/open")
                span = collector.first(answer.header("x-request-id") or "")
        assert span.resource["service.name"] == "edge"
        assert ("/v1/traces", "application/x-protobuf") in collector.posts

    def test_requests_are_served_while_the_collector_is_away(self) -> None:
        with EchoUpstream() as echo:
            with Collector() as collector:
                of = served(collector, echo)
            with GatewayEnvoy(of, runtime=AT_ONCE) as envoy:
                assert [envoy.get("/open").status for _ in range(20)] == [200] * 20
