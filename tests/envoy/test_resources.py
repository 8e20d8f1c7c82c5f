"""From YAML to answers: what users write is what the real Envoy does."""

from typing import Any

import pytest
from support.envoy import eventually
from support.gateway import GatewayEnvoy
from support.resources import document, gateway_of, upstream
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy


def route(name: str, path: str = "/", **spec: Any) -> str:
    backends = [{"kind": "Upstream", "name": "a"}]
    matches = [{"path": {"value": path}}]
    return document("Route", name, {"matches": matches, "backends": backends, **spec})


def test_a_prefix_is_replaced_without_losing_or_doubling_a_slash() -> None:
    rewritten = route("r", "/old", rewrite={"path": {"type": "ReplacePrefix", "value": "/new/"}})
    to_root = route("s", "/strip", rewrite={"path": {"type": "ReplacePrefix", "value": "/"}})
    with EchoUpstream() as a:
        made = gateway_of(upstream("a", a.port), rewritten, to_root)
        with GatewayEnvoy(made) as served:
            seen = [
                served.get(path).json()["path"]
                for path in ("/old", "/old/x?q=1", "/strip", "/strip/x")
            ]
    assert seen == ["/new", "/new/x?q=1", "/", "/x"]


def test_a_host_is_replaced_towards_the_upstream() -> None:
    with EchoUpstream() as a:
        made = gateway_of(upstream("a", a.port), route("r", rewrite={"host": "inner.example.com"}))
        with GatewayEnvoy(made) as served:
            assert served.get().echoed("host") == ["inner.example.com"]


def test_a_mirror_gets_a_copy_and_its_answer_is_dropped() -> None:
    with EchoUpstream("a") as a, EchoUpstream("b") as b:
        mirrored = route("r", mirror={"backend": {"kind": "Upstream", "name": "b"}})
        made = gateway_of(upstream("a", a.port), upstream("b", b.port), mirrored)
        with GatewayEnvoy(made) as served:
            answer = served.get("/x", method="POST", body=b"order")
            assert answer.json()["upstream"] == "a"
            eventually(lambda: len(b.requests) == 1, what="the copy arrived")
    assert (b.requests[0].path, b.requests[0].body) == ("/x", b"order")


def test_the_credential_class_chooses_the_upstream_for_the_same_path() -> None:
    def classed(name: str, credential: str) -> str:
        matches = [{"path": {"value": "/"}, "credential": credential}]
        backends = [{"kind": "Upstream", "name": name}]
        return document("Route", name, {"matches": matches, "backends": backends})

    with EchoUpstream("a") as a, EchoUpstream("b") as b, EchoUpstream("c") as c:
        made = gateway_of(
            *(upstream(each.name, each.port) for each in (a, b, c)),
            classed("a", "ApiKey"),
            classed("b", "JWT"),
            classed("c", "None"),
        )
        with GatewayEnvoy(made) as served:
            chosen = [
                served.get("/", headers).json()["upstream"]
                for headers in (
                    [("apikey", "flc_service_x")],
                    [("authorization", "Bearer flc_service_x")],
                    [("authorization", "Bearer aaa.bbb.ccc")],
                    [],
                )
            ]
    assert chosen == ["a", "a", "b", "c"]


def test_a_route_whose_backend_is_missing_answers_an_error_and_others_serve() -> None:
    dangling = document(
        "Route",
        "broken",
        {"matches": [{"path": {"value": "/broken"}}], "backends": [{"name": "missing"}]},
    )
    with EchoUpstream() as a:
        made = gateway_of(upstream("a", a.port), route("r"), dangling)
        with GatewayEnvoy(made) as served:
            answer = served.get("/broken")
            assert answer.status >= 500
            assert answer.json()["message"]
            assert served.get("/fine").status == 200


def test_a_realtime_route_outlives_the_default_timeout_and_upgrades() -> None:
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")]
    with EchoUpstream() as a:
        made = gateway_of(upstream("a", a.port), route("r", realtime=True))
        with GatewayEnvoy(made) as served:
            assert served.get("/", upgrade).status == 101


def test_a_plan_counts_and_the_rest_of_the_gateway_does_not() -> None:
    limited = route("l", "/limited", rateLimit={"plan": "demo"})
    with EchoUpstream() as a:
        made = gateway_of(upstream("a", a.port), route("r"), limited)
        with GatewayEnvoy(made) as served:
            statuses = [served.get("/limited").status for _ in range(7)]
            assert served.get("/free").status == 200
    assert statuses == [200] * 5 + [429] * 2


def test_a_preflight_on_a_route_for_any_method_is_answered_before_authentication() -> None:
    secured = route("r", auth={}, cors={"allowOrigins": ["https://app.example.com"]})
    asked = [("origin", "https://app.example.com"), ("access-control-request-method", "POST")]
    with EchoUpstream() as a, GatewayEnvoy(gateway_of(upstream("a", a.port), secured)) as served:
        answer = served.get("/", asked, method="OPTIONS")
        assert answer.header("access-control-allow-origin") == "https://app.example.com"
        assert served.get("/").status == 401
        assert a.requests == []


APP = "https://app.example.com"
STRANGE = "https://evil.example"


def post_only(**spec: Any) -> str:
    """A route for POST alone, with a cross-origin policy for one origin."""
    match = {"path": {"value": "/"}, "methods": ["POST"], **spec.pop("match", {})}
    backends = [{"kind": "Upstream", "name": "a"}]
    cors = {"allowOrigins": [APP]}
    return document("Route", "r", {"matches": [match], "backends": backends, "cors": cors, **spec})


POST_ONLY = {
    "open": post_only(),
    "with keys": post_only(auth={}),
    "with a plan": post_only(rateLimit={"requests": 1}),
    "with a header condition": post_only(match={"headers": [{"name": "x-v", "value": "1"}]}),
    "for one credential class": post_only(match={"credential": "ApiKey"}),
}


@pytest.mark.parametrize("secured", POST_ONLY.values(), ids=POST_ONLY.keys())
def test_preflights_on_a_post_only_route_are_answered_and_no_other_options_request(
    secured: str,
) -> None:
    def asked(origin: str, method: str = "POST") -> list[tuple[str, str]]:
        return [("origin", origin), ("access-control-request-method", method)]

    allowed = "access-control-allow-origin"
    with EchoUpstream() as a, GatewayEnvoy(gateway_of(upstream("a", a.port), secured)) as served:
        for _ in range(2):
            answer = served.get("/", asked(APP), method="OPTIONS")
            assert (answer.status, answer.header(allowed)) == (200, APP)
        answer = served.get("/", asked(STRANGE), method="OPTIONS")
        assert (answer.status, answer.header(allowed)) == (200, None)
        refused = [
            served.get("/", headers, method="OPTIONS").status
            for headers in (
                [],
                [("origin", APP)],
                [("origin", APP), ("access-control-request-method", "")],
                [("origin", ""), ("access-control-request-method", "POST")],
                asked(APP, "DELETE"),
                [*asked(APP), ("access-control-request-method", "POST")],
            )
        ]
        assert refused == [404] * 6
        assert a.requests == []


def test_a_preflight_on_a_route_without_a_backend_never_opens_it() -> None:
    matches = [{"path": {"value": "/"}, "methods": ["POST"]}]
    broken = document(
        "Route", "r", {"matches": matches, "backends": [{"name": "missing"}], "cors": {}}
    )
    asked = [("origin", APP), ("access-control-request-method", "POST")]
    with GatewayEnvoy(gateway_of(broken)) as served:
        assert served.get("/", asked, method="OPTIONS").status == 502
