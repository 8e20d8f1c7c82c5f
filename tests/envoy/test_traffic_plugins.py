"""``timeout``, ``retry`` and ``circuit-breaker`` as plugins: the nearest says, as with other types."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from support.documents import CLOSED, Documents, gateway, obj, route
from support.upstream import Answer, EchoUpstream, SeenRequest, SilentUpstream

from fluxgate.ir import Forward

pytestmark = pytest.mark.envoy


class Flaky:
    """Fails as many times as a request says, counted by its path."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, seen: SeenRequest) -> Answer:
        self.seen[seen.path] = self.seen.get(seen.path, 0) + 1
        failing = self.seen[seen.path] <= int(seen.header("x-failures") or 0)
        return Answer(503 if failing else 200, {}, b"")


class Holding:
    """Holds requests until it is told to go on."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self.go_on = threading.Event()

    def __call__(self, seen: SeenRequest) -> Answer:
        del seen
        self.arrived.release()
        self.go_on.wait(10)
        return Answer(200, {}, b"")


FLAKY, HOLDING = Flaky(), Holding()


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    retry = {"attempts": 2, "retryOn": ["5xx"], "backOff": {"base": "1ms", "max": "2ms"}}
    wide = {"type": "timeout", "config": {"request": "200ms"},
            "targets": [{"kind": "GatewayConfig", "name": "main"}]}  # fmt: skip
    with (
        SilentUpstream() as silent,
        EchoUpstream(respond=FLAKY) as flaky,
        EchoUpstream(respond=HOLDING) as holding,
    ):
        documents = (
            gateway(),
            obj("Plugin", "wide", wide),
            route("wide", silent.port),
            route("near", silent.port, {"timeout": {"request": "100ms"}}),
            route("own", silent.port, timeouts={"request": "100ms"}),
            route("retried", flaky.port, {"retry": retry}),
            route("once", flaky.port),
            route("narrow", holding.port, {"circuit-breaker": {"maxRequests": 1}},
                  {"timeout": {"request": "20s"}}),
            route("open", holding.port, {"timeout": {"request": "20s"}}),
            route("bad-retry", flaky.port, {"retry": {"attempts": 99}}),
            route("bad-timeout", flaky.port, {"timeout": {"request": "soon"}}),
            route("bad-breaker", flaky.port, {"circuit-breaker": {"maxRequests": 0}}),
        )  # fmt: skip
        with Documents(*documents) as running:
            yield running


@pytest.mark.parametrize("path", ["/wide", "/near", "/own"])
def test_a_request_ends_in_time(served: Documents, path: str) -> None:
    answer = served.get(path)
    assert (answer.status, answer.json()["error"]) == (504, "gateway_timeout")


def test_the_nearest_timeout_counts(served: Documents) -> None:
    timeouts = {each.origin.name: each.action.timeout_ms for table in served.gateway.route_tables
                for host in table.virtual_hosts for each in host.routes
                if isinstance(each.action, Forward)}  # fmt: skip
    assert [timeouts[name] for name in ("wide", "near", "own")] == [200, 100, 100]


@pytest.mark.parametrize(
    ("failures", "status", "attempts"), [(0, 200, 1), (2, 200, 3), (3, 503, 3)]
)
def test_a_failed_attempt_is_repeated_so_many_times(
    served: Documents, failures: int, status: int, attempts: int
) -> None:
    path = f"/retried/{failures}"
    assert served.get(path, [("x-failures", str(failures))]).status == status
    assert FLAKY.seen[path] == attempts


def test_another_route_does_not_repeat(served: Documents) -> None:
    assert served.get("/once/1", [("x-failures", "1")]).status == 503
    assert FLAKY.seen["/once/1"] == 1


def test_a_route_over_its_limit_is_refused_while_others_share_the_upstream(
    served: Documents,
) -> None:
    statuses: list[int] = []
    first = threading.Thread(target=lambda: statuses.append(served.get("/narrow").status))
    first.start()
    assert HOLDING.arrived.acquire(timeout=60)
    answer = served.get("/narrow")
    assert (answer.status, answer.json()["error"]) == (503, "service_unavailable")
    assert "circuit breaker" in answer.json()["message"]
    other = threading.Thread(target=lambda: statuses.append(served.get("/open").status))
    other.start()
    assert HOLDING.arrived.acquire(timeout=60)
    HOLDING.go_on.set()
    first.join()
    other.join()
    assert statuses == [200, 200]


@pytest.mark.parametrize(
    ("name", "field", "status"),
    [
        ("bad-retry", "config.attempts", 200),
        ("bad-timeout", "config.request", 200),
        ("bad-breaker", "config.maxRequests", CLOSED),
    ],
)
def test_a_malformed_config_names_its_field(
    served: Documents, name: str, field: str, status: int
) -> None:
    assert f"spec.plugins[0].{field}" in served.condition("Route", name).message
    assert served.get(f"/{name}").status == status
