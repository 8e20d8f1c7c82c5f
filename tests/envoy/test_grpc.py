"""gRPC through the gateway, with grpc.aio at both ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from support.certificates import Authority
from support.documents import Documents, gateway, obj, tls_secret
from support.grpc_echo import SERVICE, TRAILER, GrpcEcho, Stub

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
AUTHORITY = Authority()
LISTENERS = [
    {"name": "http", "port": 8080, "address": "127.0.0.1"},
    {
        "name": "https",
        "port": 8443,
        "address": "127.0.0.1",
        "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "cert"}]},
    },
]
LARGE = 3 * 1024 * 1024


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def echo() -> AsyncIterator[GrpcEcho]:
    async with GrpcEcho() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(echo: GrpcEcho) -> AsyncIterator[Documents]:
    upstream = {"protocol": "GRPC", "targets": [{"host": "127.0.0.1", "port": echo.port}]}
    route = {
        "matches": [{"path": {"value": f"/{SERVICE}"}}],
        "backends": [{"kind": "Upstream", "name": "echo"}],
    }
    keyed = {
        "matches": [{"path": {"value": "/keyed.Echo"}}],
        "backends": [{"kind": "Upstream", "name": "echo"}],
        "auth": {"mode": "Required"},
    }
    with Documents(
        gateway(listeners=LISTENERS),
        tls_secret("cert", AUTHORITY.issue("localhost")),
        obj("Upstream", "echo", upstream),
        obj("Route", "echo", route),
        obj("Route", "keyed", keyed),
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["plain", "tls"])
async def channel(served: Documents, request: pytest.FixtureRequest) -> AsyncIterator[aio.Channel]:
    if request.param == "plain":
        made = aio.insecure_channel(f"127.0.0.1:{served.port}")
    else:
        credentials = grpc.ssl_channel_credentials(AUTHORITY.pem)
        made = aio.secure_channel(f"localhost:{served.envoy.port('https')}", credentials)
    async with made:
        yield made


@pytest.fixture
def stub(channel: aio.Channel) -> Stub:
    return Stub(channel)


async def test_a_call_carries_metadata_there_and_trailers_back(stub: Stub, echo: GrpcEcho) -> None:
    call = stub.unary(b"hello", metadata=(("x-said", "by the client"), ("x-bin", b"\x00\xff")))
    assert await call == b"hello"
    assert echo.metadata["x-said"] == "by the client"
    assert TRAILER in list(await call.trailing_metadata())
    assert await call.code() is grpc.StatusCode.OK


async def test_a_large_message_goes_there_and_back(stub: Stub) -> None:
    message = b"x" * LARGE
    assert await stub.unary(message) == message


async def test_a_refusal_keeps_status_message_and_trailers(stub: Stub) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await stub.refuse(b"")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "not like this: \u2603"
    assert TRAILER in list(refused.value.trailing_metadata())


async def test_the_server_streams(stub: Stub) -> None:
    call = stub.repeat(b"1000")
    assert [each async for each in call] == [str(number).encode() for number in range(1000)]
    assert TRAILER in list(await call.trailing_metadata())


async def test_the_client_streams(stub: Stub) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(1000):
            yield str(number).encode()

    assert await stub.collect(parts()) == b",".join(str(n).encode() for n in range(1000))


async def test_both_stream_and_each_answer_comes_before_the_next_question(stub: Stub) -> None:
    call = stub.talk()
    for word in (b"one", b"two", b"three"):
        await call.write(word)
        assert await call.read() == word.upper()
    await call.done_writing()
    assert await call.read() is aio.EOF
    assert TRAILER in list(await call.trailing_metadata())


async def test_a_deadline_is_told_to_the_server_and_kept(stub: Stub, echo: GrpcEcho) -> None:
    await stub.unary(b"")  # there are connections on both sides
    echo.cancelled.clear()
    with pytest.raises(aio.AioRpcError) as late:
        await stub.wait(b"", timeout=1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(echo.cancelled.wait(), 60)
    assert echo.remaining is not None
    assert 0 < echo.remaining < 2


async def test_a_call_that_the_client_cancels_is_cancelled_at_the_server(
    stub: Stub, echo: GrpcEcho
) -> None:
    echo.cancelled.clear()
    echo.waiting.clear()
    call = stub.wait(b"")
    await asyncio.wait_for(echo.waiting.wait(), 60)
    call.cancel()
    await asyncio.wait_for(echo.cancelled.wait(), 60)


async def test_fifty_streams_share_a_connection(channel: aio.Channel) -> None:
    stub = Stub(channel)
    calls = [stub.talk() for _ in range(50)]
    for number, call in enumerate(calls):
        await call.write(str(number).encode())
    assert [await call.read() for call in calls] == [str(n).encode() for n in range(50)]
    for call in calls:
        await call.done_writing()
        assert await call.read() is aio.EOF


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("unknown.Echo", grpc.StatusCode.UNIMPLEMENTED),
        ("keyed.Echo", grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_the_gateways_own_refusals_are_statuses_of_grpc(
    channel: aio.Channel, service: str, code: grpc.StatusCode
) -> None:
    with pytest.raises(aio.AioRpcError) as refused:
        await Stub(channel, service).unary(b"")
    assert refused.value.code() is code
