"""``ext-proc``: the real Envoy, and a real external processor by grpc.aio."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import api_key, by_key
from support.documents import CLOSED, Document, Documents, gateway, obj, route
from support.processor import Processor
from support.upstream import EchoUpstream, RefusingUpstream

from fluxgate.status import Reason

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def processor() -> Iterator[Processor]:
    with Processor() as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[EchoUpstream]:
    with EchoUpstream("guarded") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream, guarded: EchoUpstream, processor: Processor) -> Iterator[Documents]:
    both = {"headers": True, "body": "Buffered"}

    def processed(**config: Any) -> Document:
        url = f"http://127.0.0.1:{processor.port}"
        # generous, so that only the silent processor is late
        return {"ext-proc": {"backend": {"url": url}, "timeout": "5s", **config}}

    with RefusingUpstream() as nobody:
        away = {"backend": {"url": f"http://127.0.0.1:{nobody.port}"}}
        keyed = {"auth": {"mode": "Required"}}
        documents = (
            gateway(),
            obj("Tenant", "acme", {}),
            api_key("caller", tenant="acme"),
            route("headers", echo.port, processed()),
            route("bodies", echo.port, processed(request=both, response=both)),
            route("answers", echo.port, processed(response={"headers": True})),
            route("keyed", echo.port, processed(), **keyed),
            route("guarded", guarded.port, **keyed),
            route("late", echo.port, processed(timeout="50ms")),
            route("late-open", echo.port, processed(timeout="50ms", failureMode="Open")),
            route("away", echo.port, {"ext-proc": away}),
            route("away-open", echo.port, {"ext-proc": {**away, "failureMode": "Open"}}),
            route("missing", echo.port, {"ext-proc": {"backend": {"name": "nobody"}}}),
            route("malformed", echo.port, processed(request={"headers": True, "body": "All"})),
        )
        with Documents(*documents) as running:
            yield running


def test_the_service_changes_the_headers_of_requests(served: Documents) -> None:
    assert served.get("/headers").echoed("x-processed") == ["yes"]


def test_it_gets_only_what_the_policy_sends(served: Documents, processor: Processor) -> None:
    processor.seen.clear()
    assert served.get("/headers", method="POST", body=b"quiet").json()["body"] == "quiet"
    assert processor.seen == ["request_headers"]


def test_the_service_changes_bodies_both_ways(served: Documents) -> None:
    answer = served.get("/bodies", method="POST", body=b"quiet")
    # the echo's JSON came back in capitals, with the request's body in it
    assert answer.json()["BODY"] == "QUIET"
    assert answer.header("x-answered") == "yes"


def test_the_service_changes_the_headers_of_answers(served: Documents) -> None:
    assert served.get("/answers").header("x-answered") == "yes"


def test_the_service_answers_instead_of_the_upstream(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    answer = served.get("/headers/refuse")
    assert (answer.status, answer.json()["message"]) == (403, "not you")
    assert echo.requests == []


def test_the_service_cannot_say_who_is_calling(served: Documents) -> None:
    assert served.get("/headers").echoed("x-tenant-id") == []
    assert served.get("/keyed", by_key("caller")).echoed("x-tenant-id") == ["acme"]


def test_the_service_cannot_choose_another_route(served: Documents) -> None:
    assert served.get("/guarded").status == 401
    answer = served.get("/headers/reroute")
    assert (answer.json()["upstream"], answer.json()["path"]) == ("echo", "/guarded")


@pytest.mark.parametrize(
    ("path", "status"), [("/headers/broken", 503), ("/late/silent", 504), ("/away", 503)]
)
def test_a_service_that_fails_closes_the_route(
    served: Documents, echo: EchoUpstream, path: str, status: int
) -> None:
    echo.clear()
    assert served.get(path).status == status
    assert echo.requests == []


@pytest.mark.parametrize("path", ["/late-open/silent", "/away-open"])
def test_failure_mode_open_goes_on_without_it(served: Documents, path: str) -> None:
    assert served.get(path).status == 200


def test_a_backend_that_is_not_there_closes_the_route(served: Documents) -> None:
    condition = served.condition("Route", "missing", "ResolvedRefs")
    assert condition.reason is Reason.REF_NOT_FOUND
    assert served.get("/missing").status == CLOSED


def test_a_malformed_config_names_the_field_and_closes_the_route(served: Documents) -> None:
    assert "config.request.body" in served.condition("Route", "malformed").message
    assert served.get("/malformed").status == CLOSED
