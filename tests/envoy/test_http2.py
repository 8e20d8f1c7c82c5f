"""HTTP/2 from end to end: over TLS and without, to an upstream that speaks HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest
from support.certificates import Authority
from support.documents import Documents, gateway, obj, tls_secret
from support.gateway import GatewayEnvoy, simple
from support.tls import handshake, trusting
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
AUTHORITY = Authority()
STREAMS = 20
REQUESTS = 300
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


@pytest.fixture(scope="module")
def upstream() -> Iterator[GatewayEnvoy]:
    """An Envoy before the echo: it says in its access log by which protocol it was asked."""
    with EchoUpstream() as echo, GatewayEnvoy(simple(echo)) as running:
        yield running


@pytest.fixture(scope="module")
def served(upstream: GatewayEnvoy) -> Iterator[Documents]:
    target = {"host": "127.0.0.1", "port": upstream.port}
    with Documents(
        gateway(listeners=LISTENERS, limits={"maxConcurrentStreams": STREAMS}),
        tls_secret("cert", AUTHORITY.issue("127.0.0.1")),
        obj("Upstream", "h2", {"protocol": "HTTP2", "targets": [target]}),
        obj("Route", "all", {"backends": [{"kind": "Upstream", "name": "h2"}]}),
    ) as running:
        yield running


@pytest.fixture(params=["http", "https"])
async def client(
    served: Documents, request: pytest.FixtureRequest
) -> AsyncIterator[httpx.AsyncClient]:
    base = f"{request.param}://127.0.0.1:{served.envoy.port(request.param)}"
    async with httpx.AsyncClient(
        base_url=base, http1=False, http2=True, verify=trusting(AUTHORITY), trust_env=False
    ) as made:
        yield made


async def test_hundreds_of_requests_share_one_connection(client: httpx.AsyncClient) -> None:
    await client.get("/")
    answers = await asyncio.gather(*(client.get(f"/{number}") for number in range(REQUESTS)))
    assert {(each.status_code, each.http_version) for each in answers} == {(200, "HTTP/2")}
    assert [each.json()["path"] for each in answers] == [f"/{n}" for n in range(REQUESTS)]
    assert len({id(each.extensions["network_stream"]) for each in answers}) == 1


async def test_the_upstream_is_asked_by_http_2(
    client: httpx.AsyncClient, upstream: GatewayEnvoy
) -> None:
    await client.get("/")
    lines = upstream.envoy.access_log(count=1)
    assert {line["protocol"] for line in lines} == {"HTTP/2"}


async def test_large_bodies_pass_the_windows_of_flow_control(client: httpx.AsyncClient) -> None:
    body = b"x" * 5_000_000
    answers = await asyncio.gather(*(client.post("/", content=body) for _ in range(3)))
    assert [len(each.json()["body"]) for each in answers] == [len(body)] * 3


def test_clients_are_told_how_many_streams_they_may_open(served: Documents) -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    port = served.envoy.port("https")
    with handshake(port, trusting(AUTHORITY, "h2"), "127.0.0.1") as secured:
        secured.sendall(client.data_to_send())
        while client.remote_settings.max_concurrent_streams > STREAMS:
            client.receive_data(secured.recv(65536))
    assert client.remote_settings.max_concurrent_streams == STREAMS


def test_a_stream_too_many_is_refused_alone(served: Documents) -> None:
    """A client that ignores what it was told; the upstream holds its answers back."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.max_outbound_frame_size = 16_384
    headers = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
    for number in range(STREAMS + 1):
        client.send_headers(2 * number + 1, headers)
    refused, answered = set(), set()
    port = served.envoy.port("https")
    with handshake(port, trusting(AUTHORITY, "h2"), "127.0.0.1") as secured:
        secured.sendall(client.data_to_send())
        while not refused:
            for event in client.receive_data(secured.recv(65536)):
                if isinstance(event, h2.events.StreamReset):
                    refused.add(event.stream_id)
        for number in range(STREAMS):
            client.end_stream(2 * number + 1)
        secured.sendall(client.data_to_send())
        while len(answered) < STREAMS:
            for event in client.receive_data(secured.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    answered.add(event.stream_id)
    assert refused == {2 * STREAMS + 1}
