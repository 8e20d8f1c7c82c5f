"""Targets that are taken out, and come back: by active checks, by failures, by hand, by panic."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from support.documents import Documents, gateway, obj
from support.envoy import eventually
from support.fleet import Fleet, ask, same, tally
from support.upstream import Answer, EchoUpstream, RefusingUpstream, SeenRequest

pytestmark = pytest.mark.envoy
QUICK = {"interval": "50ms", "timeout": "10s", "unhealthyThreshold": 1, "healthyThreshold": 1}


def serving(targets: list[dict], protocol: str = "HTTP1", **checks: Any) -> Documents:
    written = {"targets": targets, "protocol": protocol, "healthChecks": checks}
    to = [{"kind": "Upstream", "name": "u"}]
    return Documents(gateway(), obj("Upstream", "u", written), obj("Route", "r", {"backends": to}))


def target(each: Any, **more: Any) -> dict:
    return {"host": each.host, "port": each.port, **more}


def in_use(served: Documents, count: int) -> None:
    """Wait until so many targets take requests."""

    def healthy() -> int:
        stats = served.envoy.stats("upstream/default/u/.*membership_healthy")
        return next(iter(stats.values()), -1)

    eventually(lambda: healthy() == count, what=f"{count} targets are in use")


def answers(served: Documents, count: int = 20) -> dict[str, int]:
    return dict(tally(ask(served.port, same(count, "/"))))


def test_a_target_that_dies_is_taken_out_and_the_others_serve() -> None:
    with (
        Fleet("a", "b") as fleet,
        serving(fleet.targets(), active={**QUICK, "path": "/ready"}) as served,
    ):
        in_use(served, 2)
        fleet.stop("b")
        in_use(served, 1)
        assert answers(served) == {"a": 20}


def test_a_target_that_answers_again_comes_back() -> None:
    with Fleet("a", "b") as fleet, serving(fleet.targets(), active=QUICK) as served:
        fleet["b"].status = 500
        in_use(served, 1)
        fleet["b"].status = 200
        eventually(lambda: answers(served) == {"a": 10, "b": 10}, what="b serves again")


def test_thresholds_count_answers_in_a_row() -> None:
    asked: list[str] = []

    def bad_after_the_first(seen: SeenRequest) -> Answer:
        asked.append(seen.path)
        return Answer(200 if len(asked) == 1 else 500)

    check = {**QUICK, "path": "/ready", "unhealthyThreshold": 4}
    with (
        EchoUpstream("a", bad_after_the_first) as echo,
        serving([target(echo)], active=check) as served,
    ):
        in_use(served, 1)
        in_use(served, 0)
    assert len(asked) >= 5


@pytest.mark.parametrize(
    ("check", "method", "path", "host"),
    [
        ({"path": "/ready?deep=1"}, "GET", "/ready?deep=1", "127.0.0.1:{port}"),
        ({"method": "HEAD"}, "HEAD", "/", "127.0.0.1:{port}"),
        ({"host": "orders.example.com"}, "GET", "/", "orders.example.com"),
    ],
)
def test_a_check_asks_as_it_is_told(
    check: dict[str, str], method: str, path: str, host: str
) -> None:
    with EchoUpstream() as echo, serving([target(echo)], active={**QUICK, **check}):
        seen = eventually(lambda: echo.requests, what="a check")[0]
        assert (seen.method, seen.path) == (method, path)
        assert seen.header("host") == host.format(port=echo.port)


def test_a_check_goes_to_another_port_when_there_is_one() -> None:
    with (
        Fleet("a", "b", "c") as fleet,
        EchoUpstream("ready") as ready,
        serving(fleet.targets("a", "b"), active={**QUICK, "port": ready.port}) as served,
    ):
        eventually(lambda: len(ready.requests) >= 4, what="checks of both targets")
        in_use(served, 2)
        assert fleet.counts() == {"a": 0, "b": 0, "c": 0}
        assert {each.header("host") for each in ready.requests} == {f"127.0.0.1:{ready.port}"}


def test_only_the_statuses_that_are_expected_are_good() -> None:
    with Fleet("a", "b") as fleet:
        fleet["a"].status = 204
        with serving(fleet.targets(), active={**QUICK, "expectedStatuses": [204, 301]}) as served:
            in_use(served, 1)
            assert answers(served) == {"a": 20}


class Redis(socketserver.BaseRequestHandler):
    """Answers as Redis does to PING, and as one that loads its data to anything else."""

    def handle(self) -> None:
        while asked := self.request.recv(100):
            self.request.sendall(b"+PONG\r\n" if asked == b"PING\r\n" else b"-LOADING\r\n")


@contextmanager
def redis_like() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Redis) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize(("send", "healthy"), [("PING\r\n", 1), ("HELLO\r\n", 0)])
def test_a_tcp_check_sends_and_expects_what_it_is_told(send: str, healthy: int) -> None:
    check = {**QUICK, "type": "TCP", "send": send, "receive": "+PONG", "timeout": "200ms"}
    with redis_like() as port, Fleet("a") as fleet:
        targets = [{"host": "127.0.0.1", "port": port}]
        with serving(targets, active=check) as served:
            in_use(served, healthy)
        assert fleet.counts() == {"a": 0}


def test_a_tcp_check_without_text_is_content_with_a_connection() -> None:
    with Fleet("a") as fleet, RefusingUpstream() as refusing:
        targets = [*fleet.targets(), target(refusing)]
        with serving(targets, active={**QUICK, "type": "TCP"}) as served:
            in_use(served, 1)
            assert answers(served) == {"a": 20}
        assert fleet["a"].count == 20


@contextmanager
def grpc_server(service: str) -> Iterator[tuple[int, Callable[[int], None]]]:
    """A gRPC server with the standard health service, and how to set a service's status."""
    server = grpc.server(ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    def say(status: int) -> None:
        servicer.set(service, status)

    with ExitStack() as undo:
        undo.callback(lambda: server.stop(0).wait())
        yield port, say


def test_a_grpc_check_asks_for_its_service() -> None:
    check = {**QUICK, "type": "GRPC", "service": "orders"}
    states = health_pb2.HealthCheckResponse
    with grpc_server("orders") as (port, say):
        say(states.SERVING)
        with serving([{"host": "127.0.0.1", "port": port}], "GRPC", active=check) as served:
            in_use(served, 1)
            say(states.NOT_SERVING)
            in_use(served, 0)
            say(states.SERVING)
            in_use(served, 1)


def test_a_grpc_check_needs_a_pool_that_speaks_http2() -> None:
    documents = [
        gateway(),
        obj(
            "Backend",
            "b",
            {"url": "http://127.0.0.1:1", "healthChecks": {"active": {"type": "GRPC"}}},
        ),
    ]
    with Documents(*documents) as served:
        condition = served.condition("Backend", "b")
    assert not condition.status
    assert condition.message.startswith(
        "spec.healthChecks.active.type: a GRPC check needs protocol"
    )


def test_a_pool_is_asked_at_its_interval_before_any_request_came() -> None:
    with EchoUpstream() as echo, serving([target(echo)], active=QUICK):
        eventually(lambda: len(echo.requests) >= 5, what="five checks")


@pytest.mark.parametrize(
    ("passive", "status"),
    [({"consecutive5xx": 3}, 500), ({"consecutive5xx": 1000, "consecutiveGatewayErrors": 3}, 503)],
)
def test_a_target_that_fails_in_a_row_is_ejected_for_a_while(
    passive: dict[str, int], status: int
) -> None:
    checks = {**passive, "interval": "50ms", "baseEjectionTime": "2s", "maxEjectionPercent": 50}
    with Fleet("a", "b") as fleet, serving(fleet.targets(), passive=checks) as served:
        fleet["b"].status = status
        answers(served, 6)
        assert answers(served, 10) == {"a": 10}
        fleet["b"].status = 200
        # Envoy hands on changes of health once a second
        eventually(lambda: answers(served, 10) == {"a": 5, "b": 5}, what="b serves again")


def test_connections_that_fail_count_apart_from_answers() -> None:
    checks = {"consecutive5xx": 1000, "consecutiveConnectFailures": 2, "baseEjectionTime": "30s"}
    with Fleet("a") as fleet, RefusingUpstream() as refusing:
        targets = [*fleet.targets(), target(refusing)]
        with serving(targets, passive=checks) as served:
            answers(served, 4)
            in_use(served, 1)
            assert answers(served, 10) == {"a": 10}


def test_a_share_of_failures_ejects_a_target_that_never_fails_in_a_row() -> None:
    failures = {"threshold": 40, "minimumRequests": 5, "minimumTargets": 2}
    checks = {"consecutive5xx": 1000, "failurePercentage": failures, "interval": "100ms",
              "baseEjectionTime": "30s", "maxEjectionPercent": 50}  # fmt: skip
    turns = iter(range(1_000_000))

    def every_other(seen: SeenRequest) -> Answer:
        return Answer(500 if next(turns) % 2 else 200)

    with (
        EchoUpstream("a") as good,
        EchoUpstream("b", every_other) as bad,
        serving([target(good), target(bad)], passive=checks) as served,
    ):

        def ejected() -> bool:
            ask(served.port, same(40, "/"))
            stats = served.envoy.stats("upstream/default/u/.*membership_healthy")
            return next(iter(stats.values()), -1) == 1

        eventually(ejected, what="b is ejected")


def test_below_the_panic_threshold_every_target_is_used() -> None:
    for threshold, expected in ((60, {"a": 10, "b": 10}), (0, {"a": 20})):
        with Fleet("a", "b") as fleet:
            fleet["b"].status = 500
            checks = {"active": QUICK, "panicThreshold": threshold}
            with serving(fleet.targets(), **checks) as served:
                in_use(served, 1)
                fleet["b"].status = 404
                assert answers(served) == expected


def test_a_target_marked_by_hand_is_what_it_is_marked() -> None:
    with Fleet("a", "b", "c") as fleet:
        for name in "bc":
            fleet[name].status = 500
        targets = [
            fleet["a"].target | {"health": "Unhealthy"},
            fleet["b"].target | {"health": "Healthy"},
            fleet["c"].target,
        ]
        with serving(targets, active=QUICK) as served:
            in_use(served, 1)
            assert answers(served) == {"b": 20}


def test_a_backend_checks_and_balances_a_url_by_itself() -> None:
    with Fleet("a") as fleet:
        spec = {
            "url": f"http://127.0.0.1:{fleet['a'].port}",
            "loadBalancing": {"policy": "LeastRequest"},
            "healthChecks": {"active": {**QUICK, "path": "/ready"}},
        }
        route = obj("Route", "r", {"backends": [{"name": "b"}]})
        with Documents(gateway(), obj("Backend", "b", spec), route) as served:
            fleet["a"].status = 500
            name = "backend/default/b/.*membership_healthy"
            eventually(
                lambda: 0 in served.envoy.stats(name).values(), what="the only target is out"
            )
