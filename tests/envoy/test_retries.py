"""Attempts after the first: where they go, when they begin, and how many there may be."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.documents import Documents, gateway, obj
from support.envoy import eventually
from support.fleet import Fleet, ask, tally
from support.upstream import Answer, EchoUpstream, SeenRequest

pytestmark = pytest.mark.envoy
WAIT = 20.0
"""Seconds that nothing here takes."""


def serving(port: int, *, retry: dict | None = None, **spec: Any) -> Documents:
    upstream = {"targets": [{"host": "127.0.0.1", "port": port}], **spec.pop("upstream", {})}
    route = {"backends": [{"kind": "Upstream", "name": "u"}], **spec}
    if retry is not None:
        route["retry"] = retry
    return Documents(gateway(), obj("Upstream", "u", upstream), obj("Route", "r", route))


def users(count: int = 40) -> list:
    return [("/", (("x-user", f"user-{number}"),)) for number in range(count)]


@pytest.mark.parametrize(("another", "expected"), [(True, {"a"}), (False, {"a", "b"})])
def test_a_retry_goes_to_a_target_that_was_not_tried(another: bool, expected: set[str]) -> None:
    """With a hash, which would lead every attempt to the same target."""
    retry = {"attempts": 3, "statusCodes": [503], "anotherTarget": another,
             "backOff": {"base": "1ms", "max": "1ms"}}  # fmt: skip
    hashed = {"policy": "Maglev", "hashOn": {"type": "Header", "name": "x-user"}}
    with Fleet("a", "b") as fleet:
        fleet["b"].status = 503
        documents = [
            gateway(),
            obj("Upstream", "u", {"targets": fleet.targets(), "loadBalancing": hashed}),
            obj("Route", "r", {"backends": [{"kind": "Upstream", "name": "u"}], "retry": retry}),
        ]
        with Documents(*documents) as served:
            assert set(tally(ask(served.port, users()))) == expected
        assert fleet["b"].count > 0


class Attempts:
    """An upstream's answers by number of attempt; None never answers."""

    def __init__(self, *answers: Callable[[], Answer] | None) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.seen = 0

    def __call__(self, request: SeenRequest) -> Answer:
        with self._lock:
            number, self.seen = self.seen, self.seen + 1
        answer = self._answers[min(number, len(self._answers) - 1)]
        if answer is not None:
            return answer()
        self.over.wait(WAIT)
        return Answer(200, body=b"too late")


def good() -> Answer:
    return Answer(200, body=b"good")


@pytest.mark.parametrize("limit", ["perTryTimeout", "perTryIdleTimeout"])
def test_an_attempt_that_takes_too_long_is_followed_by_the_next(limit: str) -> None:
    attempts = Attempts(None, good)
    retry = {"attempts": 1, "retryOn": ["gateway-error"], limit: "1s"}
    with EchoUpstream(respond=attempts) as echo, serving(echo.port, retry=retry) as served:
        answer = served.get()
        attempts.over.set()
    assert (answer.status, answer.body, attempts.seen) == (200, b"good", 2)


def test_without_a_cause_that_covers_it_a_slow_attempt_is_the_last() -> None:
    attempts = Attempts(None, good)
    retry = {"attempts": 1, "perTryTimeout": "1s"}
    with EchoUpstream(respond=attempts) as echo, serving(echo.port, retry=retry) as served:
        assert served.get().status == 504
        attempts.over.set()
    assert attempts.seen == 1


@pytest.mark.parametrize(("hedge", "status", "body"), [(True, 200, b"first"), (False, 504, None)])
def test_a_hedged_attempt_goes_on_beside_the_next(
    hedge: bool, status: int, body: bytes | None
) -> None:
    """The first attempt answers when the second is there, and the second never does."""
    second = threading.Event()

    def first() -> Answer:
        second.wait(WAIT)
        return Answer(200, body=b"first")

    def never() -> Answer:
        second.set()
        attempts.over.wait(WAIT)
        return Answer(200, body=b"second")

    attempts = Attempts(first, never)
    retry = {"attempts": 1, "retryOn": ["5xx"], "perTryTimeout": "1s", "hedge": hedge}
    limits = {"request": "20s"}
    with (
        EchoUpstream(respond=attempts) as echo,
        serving(echo.port, retry=retry, timeouts=limits) as served,
    ):
        answer = served.get()
        attempts.over.set()
    assert answer.status == status
    assert body is None or answer.body == body
    assert attempts.seen == 2


@pytest.mark.parametrize(
    ("budget", "attempts"),
    [({"percent": 0, "minConcurrency": 0}, 1), ({"percent": 0, "minConcurrency": 1}, 4)],
)
def test_retries_keep_to_their_budget(budget: dict[str, int], attempts: int) -> None:
    retry = {"attempts": 3, "statusCodes": [503], "backOff": {"base": "1ms", "max": "1ms"}}
    breaker = {"circuitBreaker": {"retryBudget": budget}}
    with (
        EchoUpstream(respond=lambda _: Answer(503)) as echo,
        serving(echo.port, retry=retry, upstream=breaker) as served,
    ):
        assert served.get().status == 503
        assert len(echo.requests) == attempts


class Together:
    """Holds requests with the upstream, and counts how many are there at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.go_on = threading.Event()
        self.now = 0
        self.most = 0

    def __call__(self, request: SeenRequest) -> Answer:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.go_on.wait(WAIT)
        with self._lock:
            self.now -= 1
        return Answer(200)


@pytest.mark.parametrize(
    ("breaker", "most", "refused"),
    [
        ({}, 3, 0),
        ({"maxConnectionsPerTarget": 1}, 1, 0),
        ({"maxConnections": 1}, 1, 0),
        ({"maxRequests": 2}, 2, 1),
    ],
)
def test_a_circuit_breaker_lets_so_many_through_at_a_time(
    breaker: dict[str, int], most: int, refused: int
) -> None:
    together = Together()
    with (
        EchoUpstream(respond=together) as echo,
        serving(echo.port, upstream={"circuitBreaker": breaker}) as served,
        ThreadPoolExecutor(3) as pool,
    ):
        answers = [pool.submit(lambda: served.get().status) for _ in range(3)]
        eventually(
            lambda: (together.now, sum(each.done() for each in answers)) == (most, refused),
            what="so many are there, and so many refused",
        )
        together.go_on.wait(0.3)  # nobody sets it: time for one more than there may be
        held = together.most
        together.go_on.set()
        statuses = [each.result() for each in answers]
    assert held == most
    assert statuses.count(503) == refused
    assert statuses.count(200) == 3 - refused
