"""What the listener does to every request: protocols, ids, identity, limits, statistics."""

from collections.abc import Iterator

import httpx
import pytest
from support.client import request
from support.envoy import EnvoyProcess
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route, simple
from support.upstream import EchoUpstream, RefusingUpstream

from fluxgate.xds.listener import SERVER_NAME
from fluxgate.xds.names import IDENTITY_HEADERS
from fluxgate.xds.stats import CLUSTER_STATISTICS

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[GatewayEnvoy]:
    with GatewayEnvoy(simple(echo)) as running:
        yield running


def test_http_1_1_is_served(served: GatewayEnvoy) -> None:
    with httpx.Client(trust_env=False) as client:
        answer = client.get(f"http://127.0.0.1:{served.port}/a")
    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


def test_http_2_is_served_on_the_same_port(served: GatewayEnvoy) -> None:
    with httpx.Client(http1=False, http2=True, trust_env=False) as client:
        answer = client.post(f"http://127.0.0.1:{served.port}/a", content=b"hello")
    assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
    assert answer.json()["body"] == "hello"


def test_a_request_id_is_made_forwarded_and_returned(served: GatewayEnvoy) -> None:
    first, second = served.get(), served.get()
    assert first.echoed("x-request-id") == [first.header("x-request-id")]
    assert first.header("x-request-id") != second.header("x-request-id")


def test_a_clients_own_request_id_is_replaced(served: GatewayEnvoy) -> None:
    answer = served.get(headers=[("x-request-id", "chosen-by-the-client")])
    assert answer.header("x-request-id") not in (None, "chosen-by-the-client")
    assert answer.echoed("x-request-id") == [answer.header("x-request-id")]


def test_a_clients_own_request_id_is_kept_where_configured(echo: EchoUpstream) -> None:
    mine = "0f8fad5b-d9cb-469f-a165-70867728950e"
    with GatewayEnvoy(simple(echo, preserve_request_id=True)) as served:
        answer = served.get(headers=[("x-request-id", mine)])
    assert answer.header("x-request-id") == mine
    assert answer.echoed("x-request-id") == [mine]


@pytest.mark.parametrize("header", IDENTITY_HEADERS)
def test_an_identity_header_of_a_client_never_arrives(served: GatewayEnvoy, header: str) -> None:
    answer = served.get(
        headers=[
            (header, "forged"),
            (header.title(), "forged twice"),
            (header.replace("-", "_"), "forged with underscores"),
            (header.replace("-", "_").upper(), "forged in capitals"),
        ]
    )
    assert answer.status == 200
    assert "forged" not in str(answer.json()["headers"])


def test_a_header_named_in_connection_is_not_forwarded(served: GatewayEnvoy) -> None:
    answer = served.get(headers=[("x-hop", "forged"), ("connection", "x-hop, x-tenant-id")])
    assert answer.status == 200
    assert "forged" not in str(answer.json()["headers"])


def test_envoys_own_control_headers_of_a_client_have_no_effect(
    served: GatewayEnvoy, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = served.get(
        headers=[
            ("x-echo-status", "503"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "5"),
            ("x-envoy-upstream-rq-timeout-ms", "1"),
            ("x-envoy-internal", "true"),
        ]
    )
    assert answer.status == 503
    assert len(echo.requests) == 1
    assert echo.requests[0].header("x-envoy-internal") is None


def test_the_client_address_is_that_of_the_connection(served: GatewayEnvoy) -> None:
    answer = served.get(headers=[("x-forwarded-for", "203.0.113.9")])
    (forwarded,) = answer.echoed("x-forwarded-for")
    assert forwarded.startswith("203.0.113.9,")
    assert answer.echoed("x-envoy-external-address") == ["127.0.0.1"]


def test_a_trusted_hop_says_the_client_address(echo: EchoUpstream) -> None:
    with GatewayEnvoy(simple(echo, trusted_hops=1)) as served:
        answer = served.get(headers=[("x-forwarded-for", "198.51.100.1, 203.0.113.9")])
        (line,) = served.envoy.access_log(count=1)
    assert line["client"] == "203.0.113.9"
    assert answer.status == 200


def test_the_upstreams_server_and_timing_are_not_shown(served: GatewayEnvoy) -> None:
    answer = served.get()
    assert answer.header("server") == SERVER_NAME
    assert not [name for name, _ in answer.headers if name.startswith("x-envoy-")]


def test_headers_up_to_the_limit_pass(served: GatewayEnvoy) -> None:
    assert served.get(headers=[("x-big", "a" * 50_000)]).status == 200


def test_a_websocket_is_refused_unless_the_route_allows_it(echo: EchoUpstream) -> None:
    routes = (
        route("/live", forward("up", websocket=True, timeout_ms=0), realtime=True),
        route("/plain", forward("up")),
    )
    upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "x")]
    with GatewayEnvoy(gateway(routes, (cluster("up", echo),))) as served:
        assert served.get("/plain", upgrade).status == 403
        assert served.get("/live", upgrade).status == 101


def test_only_a_few_statistics_are_kept_for_each_cluster(served: GatewayEnvoy) -> None:
    served.get()
    kept = {name.rpartition(".")[2] for name in served.envoy.stats("^cluster\\.up\\.")}
    assert "upstream_rq_total" in kept
    assert kept <= set(CLUSTER_STATISTICS)


def test_the_number_of_statistics_hardly_grows_with_upstreams(echo: EchoUpstream) -> None:
    def count(clusters: int) -> int:
        many = tuple(cluster(f"up-{number}", echo) for number in range(clusters))
        with GatewayEnvoy(gateway((), many)) as served:
            return len(served.envoy.stats())

    assert count(21) - count(1) <= 20 * len(CLUSTER_STATISTICS)


def test_a_port_that_refuses_ends_neither_envoy_nor_other_routes(echo: EchoUpstream) -> None:
    with RefusingUpstream() as refusing:
        clusters = (cluster("up", echo), cluster("down", refusing))
        routes = (route("/down", forward("down")), route("/", forward("up")))
        with GatewayEnvoy(gateway(routes, clusters), concurrency=2) as served:
            assert [served.get(path).status for path in ("/down", "/up")] == [502, 200]
            process: EnvoyProcess = served.envoy
            assert process.alive()
            assert request(served.port, "/up").status == 200
