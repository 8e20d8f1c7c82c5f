"""``grpc-web``: what a browser's client sends and reads, through the real Envoy."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator

import pytest
from support.client import Response
from support.documents import Documents, gateway, obj, route
from support.library import SERVICE, Library

pytestmark = pytest.mark.envoy
ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    with Library() as running:
        yield running


@pytest.fixture(scope="module")
def served(library: Library) -> Iterator[Documents]:
    web = {"grpc-web": {}}
    backend = {"backends": [{"name": "library"}], "path": f"/{SERVICE}"}
    spec = {"url": f"http://127.0.0.1:{library.port}", "protocol": "GRPC"}
    cors = {"cors": {"allowOrigins": [ORIGIN], "allowHeaders": ["content-type", "x-grpc-web"]}}

    def on(host: str) -> dict[str, list[str]]:
        return {"hosts": [host]}

    documents = (
        gateway(),
        obj("Backend", "library", spec),
        route("open", 9, web, cors, **backend, **on("open.example.com")),
        route("keyed", 9, web, auth={"mode": "Required"}, **backend, **on("keyed.example.com")),
        route("without", 9, **backend, **on("without.example.com")),
        route("malformed", 9, {"grpc-web": {"x": 1}}, **backend, **on("malformed.example.com")),
    )
    with Documents(*documents) as running:
        yield running


def frame(payload: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(payload)) + payload


def frames(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        found.append((flags, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def call(
    served: Documents, library: Library, host: str, *, text: bool = False, method: str = "GetBook"
) -> Response:
    request = getattr(library.messages, f"{method}Request")(shelf="a")
    if method == "GetBook":
        request.name = "b"
    body = frame(request.SerializeToString())
    kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
    accepted = [("accept", kind)] if text else []
    headers = [
        *accepted,
        ("host", f"{host}.example.com"),
        ("content-type", kind),
        ("x-grpc-web", "1"),
        ("origin", ORIGIN),
    ]
    sent = base64.b64encode(body) if text else body
    return served.get(f"/{SERVICE}/{method}", headers, method="POST", body=sent)


def test_a_browser_calls_a_grpc_service(served: Documents, library: Library) -> None:
    answer = call(served, library, "open")
    (_, message), (flags, trailers) = frames(answer.body)
    assert answer.header("content-type") == "application/grpc-web+proto"
    assert library.messages.Book.FromString(message).page_count == 7
    assert flags == 0x80
    assert b"grpc-status:0" in trailers


def test_a_stream_arrives_message_by_message(served: Documents, library: Library) -> None:
    answer = call(served, library, "open", method="ListBooks")
    messages = [payload for flags, payload in frames(answer.body) if not flags]
    names = [library.messages.Book.FromString(each).name for each in messages]
    assert names == ["first", "second"]


def test_the_text_form_works_too(served: Documents, library: Library) -> None:
    answer = call(served, library, "open", text=True)
    assert answer.header("content-type") == "application/grpc-web-text+proto"
    # pieces of base64, each padded by itself
    pieces = re.findall(rb"[A-Za-z0-9+/]+=*", answer.body)
    message = frames(b"".join(map(base64.b64decode, pieces)))[0][1]
    assert library.messages.Book.FromString(message).name == "b"


def test_pages_of_another_origin_may_read_the_answer(served: Documents, library: Library) -> None:
    assert call(served, library, "open").header("access-control-allow-origin") == ORIGIN


def test_a_refusal_of_the_gateway_is_a_grpc_status(served: Documents, library: Library) -> None:
    before = library.calls
    answer = call(served, library, "keyed")
    assert (answer.status, answer.header("grpc-status")) == (401, "16")
    assert library.calls == before


def test_without_the_policy_the_service_does_not_understand(
    served: Documents, library: Library
) -> None:
    before = library.calls
    call(served, library, "without")
    assert library.calls == before


def test_a_malformed_policy_is_named_and_the_route_served_without_it(
    served: Documents, library: Library
) -> None:
    condition = served.condition("Route", "malformed")
    assert "config.x" in condition.message
    answer, without = (call(served, library, host) for host in ("malformed", "without"))
    assert (answer.status, answer.body) == (without.status, without.body)
