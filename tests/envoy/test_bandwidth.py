"""``bandwidth``, enforced by the real Envoy: bodies wait, and nothing is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, route
from support.envoy import eventually
from support.upstream import Answer, EchoUpstream, SeenRequest

pytestmark = pytest.mark.envoy

RATE = 256
"""KiB a second."""
BODY = b"x" * (RATE * 1024 * 3 // 2)
"""A second and a half's worth: the bucket holds a second's, so at least half a second is waited for."""
WAITS = 0.4
"""Half a second, but for the interval in which the bucket is filled and the clocks of both sides."""


def _answer(seen: SeenRequest) -> Answer:
    return Answer(body=BODY if seen.method == "GET" else b"ok")


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream(respond=_answer) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    def slow(name: str, **config: object) -> dict[str, object]:
        return route(name, echo.port, {"bandwidth": {"kibPerSecond": RATE, **config}})

    documents = (
        gateway(),
        slow("response"),
        slow("request", direction="Request"),
        slow("both", direction="Both"),
        route("free", echo.port),
        slow("malformed", direction="Sideways"),
    )
    with Documents(*documents) as running:
        yield running


def timed(served: Documents, path: str, *, upload: bool) -> tuple[Response, float]:
    """An answer, and how long its body or that of the request took."""
    started = time.monotonic()
    answer = served.get(path, method="POST", body=BODY) if upload else served.get(path)
    return answer, time.monotonic() - started


def quick(served: Documents, path: str, *, upload: bool) -> bool:
    """Whether a body can take less than its rate would make each of them take, on any machine."""
    return eventually(lambda: timed(served, path, upload=upload)[1] < WAITS, what="no wait")


@pytest.mark.parametrize(
    ("path", "upload"),
    [("/response", False), ("/request", True), ("/both", False), ("/both", True)],
)
def test_a_body_takes_the_time_of_its_rate_and_arrives_whole(
    served: Documents, path: str, *, upload: bool
) -> None:
    answer, seconds = timed(served, path, upload=upload)
    assert answer.status == 200
    assert answer.body == (b"ok" if upload else BODY)
    assert seconds >= WAITS


@pytest.mark.parametrize(("path", "upload"), [("/response", True), ("/request", False)])
def test_the_other_direction_is_not_slowed_down(
    served: Documents, path: str, *, upload: bool
) -> None:
    assert quick(served, path, upload=upload)


def test_a_route_without_a_rate_is_not_slowed_down(served: Documents) -> None:
    assert quick(served, "/free", upload=False)


def test_a_malformed_rate_closes_the_route_and_names_the_field(served: Documents) -> None:
    assert served.get("/malformed").status == CLOSED
    found = served.condition("Route", "malformed")
    assert not found.status
    assert "config.direction" in found.message
