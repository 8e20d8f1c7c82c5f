"""What surrounds every request: ids, the last resort, bounds, records; and writes that are made once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from support.admin_fakes import EVERYTHING, NOW

from fluxgate_admin.errors import ConflictError, UnavailableError
from fluxgate_admin.http.entrance import Entrance
from fluxgate_admin.http.failed_calls import FailedCalls
from fluxgate_admin.http.idempotency import Idempotency
from fluxgate_admin.http.middleware import RequestMiddleware
from fluxgate_admin.http.windows import Windows
from fluxgate_admin.principal import Principal
from fluxgate_admin.settings import AdminSettings
from fluxgate_admin.use_cases.ports import AuditRecord, Remembered


@dataclass
class Records:
    records: list[AuditRecord] = field(default_factory=list)

    async def record(self, record: AuditRecord) -> None:
        self.records.append(record)


async def boom(request: Request) -> Response:
    raise RuntimeError("the password is hunter2")


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def late(request: Request) -> Response:
    async def parts() -> Any:
        yield b"begun"
        raise RuntimeError("too late")

    return StreamingResponse(parts())


async def forever() -> Any:
    await asyncio.Event().wait()


def made_of(records: Records) -> Any:
    return SimpleNamespace(
        audit=records,
        clock=lambda: NOW,
        log=structlog.wrap_logger(
            structlog.PrintLogger(), processors=[structlog.processors.JSONRenderer()]
        ),
        settings=SimpleNamespace(trusted_proxies=("10.0.0.0/8",)),
    )


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def client(records: Records) -> httpx.AsyncClient:
    inner = Starlette(
        routes=[
            Route("/boom/{rest:path}", boom),
            Route("/echo", echo, methods=["POST"]),
            Route("/healthz", echo),
            Route("/late", late),
        ]
    )
    settings = AdminSettings(database="", master_keys=(), max_body_bytes=10)
    app = RequestMiddleware(Entrance(inner, FailedCalls(30, Windows()), settings), made_of(records))
    transport = httpx.ASGITransport(app, client=("10.0.0.1", 1), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://admin.test")


async def test_a_mistake_of_ours_is_answered_without_a_word_about_it(
    client: httpx.AsyncClient, records: Records
) -> None:
    answer = await client.get("/boom/x", headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert records.records[0].status == 500
    assert answer.headers["x-request-id"] == records.records[0].request_id != "mine"


async def test_half_an_answer_does_not_end_as_a_whole_one(records: Records) -> None:
    sent: list[dict[str, Any]] = []
    app = RequestMiddleware(Starlette(routes=[Route("/late", late)]), made_of(records))

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/late", "headers": [], "query_string": b""}
    with pytest.raises(RuntimeError, match="too late"):
        await app(scope, forever, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]
    assert records.records[0].status == 200


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_is_read_up_to_its_bound(client: httpx.AsyncClient, declared: bool) -> None:
    async def parts(size: int) -> Any:
        for _ in range(size):
            yield b"x"

    for size, status in ((10, 200), (11, 413)):
        content = b"x" * size if declared else parts(size)
        answer = await client.post("/echo", content=content)
        assert answer.status_code == status
    assert answer.json()["error"] == "too_large"


async def test_every_call_is_recorded_with_who_sent_it_and_without_what_is_secret(
    client: httpx.AsyncClient, records: Records
) -> None:
    await client.get("/boom/sk_live_abcDEF123/fss_secret?key=sk_live_query")
    await client.get("/nothing", headers={"x-forwarded-for": "192.0.2.1, 10.0.0.9"})
    await client.get("/healthz")
    first, second = records.records
    assert first.path == "/boom/sk_live_…/fss_…"
    assert (first.address, second.address) == ("10.0.0.1", "192.0.2.1")
    assert (second.method, second.status, second.at) == ("GET", 404, NOW)


@dataclass
class Memory:
    """Answers by key; ``away`` says what fails."""

    kept: dict[str, Remembered] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    def _check(self, what: str) -> None:
        if what in self.away:
            raise UnavailableError("away")

    async def claim(self, principal: str, key: str, request: str) -> Remembered | None:
        self._check("claim")
        if (known := self.kept.get(key)) is not None:
            if known.request != request:
                raise ConflictError("other", error="idempotency_key_reused")
            return known
        if key in self.claimed:
            raise ConflictError("in use", error="idempotency_key_in_use")
        self.claimed.add(key)
        return None

    async def keep(self, principal: str, key: str, answer: Remembered) -> None:
        self._check("keep")
        self.kept[key] = answer

    async def release(self, principal: str, key: str) -> None:
        self._check("release")
        self.claimed.discard(key)


def request(body: bytes = b"{}", query: bytes = b"", if_match: bytes = b"") -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"if-match", if_match)] if if_match else []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "query_string": query,
        "headers": headers,
    }
    return Request(scope, receive)


class Counter:
    """Counts how often a write is made."""

    def __init__(self, error: Exception | None = None) -> None:
        self.made = 0
        self.error = error

    async def __call__(self) -> Response:
        self.made += 1
        if self.error is not None:
            raise self.error
        return Response(b"made", 201, {"location": "/there", "set-cookie": "a=b"})


async def test_the_same_request_is_made_once_and_answered_twice() -> None:
    store, write = Memory(), Counter()
    once = Idempotency(store, structlog.get_logger()).once
    first = await once(EVERYTHING, "k", request(), write)
    second = await once(EVERYTHING, "k", request(), write)
    assert write.made == 1
    assert (second.status_code, second.body) == (first.status_code, first.body)
    assert second.headers["location"] == "/there"
    assert "set-cookie" not in second.headers
    assert second.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    "other", [request(b"[]"), request(query=b"wait=none"), request(if_match=b'"a"')]
)
async def test_another_request_under_the_key_is_a_conflict(other: Request) -> None:
    store, write = Memory(), Counter()
    once = Idempotency(store, structlog.get_logger()).once
    await once(EVERYTHING, "k", request(), write)
    with pytest.raises(ConflictError):
        await once(EVERYTHING, "k", other, write)
    assert write.made == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(EVERYTHING, namespaces=frozenset(("shop",))),
        replace(EVERYTHING, scopes=frozenset(("routes:read",))),
    ],
    ids=["another namespace", "other scopes"],
)
async def test_an_answer_is_given_again_only_to_who_may_the_same(other: Principal) -> None:
    """One account has several tokens, and a token of the cluster's acts where a header says."""
    store, write = Memory(), Counter()
    once = Idempotency(store, structlog.get_logger()).once
    await once(EVERYTHING, "k", request(), write)
    with pytest.raises(ConflictError):
        await once(other, "k", request(), write)
    assert write.made == 1


async def test_what_failed_may_be_asked_again() -> None:
    store, write = Memory(), Counter(ConflictError("no"))
    once = Idempotency(store, structlog.get_logger()).once
    for _ in range(2):
        with pytest.raises(ConflictError, match="no"):
            await once(EVERYTHING, "k", request(), write)
    assert write.made == 2


async def test_a_store_that_is_away_stops_writes_before_they_are_made_and_not_after() -> None:
    write = Counter()
    once = Idempotency(Memory(away={"claim"}), structlog.get_logger()).once
    with pytest.raises(UnavailableError):
        await once(EVERYTHING, "k", request(), write)
    assert write.made == 0
    once = Idempotency(Memory(away={"keep"}), structlog.get_logger()).once
    assert (await once(EVERYTHING, "k", request(), write)).status_code == 201
    once = Idempotency(Memory(away={"release"}), structlog.get_logger()).once
    with pytest.raises(ConflictError):
        await once(EVERYTHING, "k", request(), Counter(ConflictError("no")))
