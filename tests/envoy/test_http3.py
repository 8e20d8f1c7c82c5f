"""HTTP/3 with a real client, beside HTTPS on the same listener."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aioquic.tls import SessionTicket
from support.certificates import Authority, Pair
from support.gateway import GatewayEnvoy, simple
from support.http3 import http3
from support.tls import get, tls_listener, trusting
from support.upstream import EchoUpstream

from fluxgate.ir import CertificateIR, Gateway
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes
from fluxgate.xds.names import IDENTITY_HEADERS

pytestmark = pytest.mark.envoy
ORIGIN = ObjectRef("Secret", "default", "tls")
HOST = "example.com"
AUTHORITY = Authority()
CLIENTS = Authority("clients")


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def serving(echo: EchoUpstream, *names: str, **tls: object) -> Gateway:
    """Listeners of one port, each with a certificate of its own; the first is called ``http``."""
    listeners, certificates = [], [CertificateIR("clients", ORIGIN, CLIENTS.pem)]
    for index, name in enumerate(names or (HOST,)):
        pair = AUTHORITY.issue(name)
        certificates.append(CertificateIR(name, ORIGIN, pair.certificate, SecretBytes(pair.key)))
        own = "http" if index == 0 else f"other-{index}"
        chosen = (name,) if names else ()
        listeners.append(tls_listener(own, *chosen, certificate=name, http3=True, **tls))
    return simple(echo, listeners=tuple(listeners), certificates=tuple(certificates))


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[GatewayEnvoy]:
    with GatewayEnvoy(serving(echo), concurrency=2) as running:
        yield running


@pytest.fixture(scope="module")
def port(served: GatewayEnvoy) -> int:
    return served.envoy.port("http/http3")


async def test_a_request_goes_the_whole_way(port: int) -> None:
    async with http3(port, AUTHORITY.pem) as connection:
        answer = await connection.send("POST", "/a?b=c", host=HOST, body=b"hello" * 10_000)
    assert answer.status == 200
    assert (answer.json()["path"], len(answer.json()["body"])) == ("/a?b=c", 50_000)
    assert answer.echoed("x-forwarded-proto") == ["https"]


async def test_many_streams_of_one_connection_are_answered(port: int) -> None:
    async with http3(port, AUTHORITY.pem) as connection:
        asked = [connection.get(f"/{number}", host=HOST) for number in range(50)]
        answers = await asyncio.gather(*asked)
    assert [each.json()["path"] for each in answers] == [f"/{number}" for number in range(50)]


def test_clients_of_tcp_are_told_where_http_3_is(served: GatewayEnvoy) -> None:
    answer = get(served.port, trusting(AUTHORITY), HOST)
    assert b'alt-svc: h3=":8443"; ma=86400' in answer.split(b"\r\n")


async def test_identity_headers_and_paths_are_treated_as_over_tcp(port: int) -> None:
    forged = [(name, "forged") for name in IDENTITY_HEADERS]
    async with http3(port, AUTHORITY.pem) as connection:
        clean = await connection.get("/a/../b//c", host=HOST, headers=forged)
        escaped = await connection.get("/a%2fb", host=HOST)
    assert clean.json()["path"] == "/b/c"
    assert "forged" not in str(clean.json()["headers"])
    assert (escaped.status, escaped.json()["error"]) == (400, "bad_request")


async def test_server_names_choose_the_certificate(echo: EchoUpstream) -> None:
    with GatewayEnvoy(serving(echo, "a.example.com", "*.b.example.com")) as running:
        port = running.envoy.port("http/http3")
        for name in ("a.example.com", "x.b.example.com"):
            async with http3(port, AUTHORITY.pem, name=name) as connection:
                assert (await connection.get("/", host=name)).status == 200
        # no chain matches, so Envoy answers nothing at all
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), http3(port, AUTHORITY.pem, name="c.example.com"):
                pass


@pytest.mark.parametrize(
    ("pair", "status"),
    [
        (CLIENTS.issue("me", client=True), 200),
        (AUTHORITY.issue("me", client=True), None),
        (None, None),
    ],
    ids=["ours", "a stranger's", "none"],
)
async def test_a_client_certificate_is_asked_for_as_over_tcp(
    mutual: GatewayEnvoy, pair: Pair | None, status: int | None
) -> None:
    port = mutual.envoy.port("http/http3")
    if status is None:
        with pytest.raises(ConnectionError):
            async with http3(port, AUTHORITY.pem, client=pair) as connection:
                await connection.get("/", host=HOST)
        return
    forged = [("x-forwarded-client-cert", "Subject=forged")]
    async with http3(port, AUTHORITY.pem, client=pair) as connection:
        answer = await connection.get("/", host=HOST, headers=forged)
    (told,) = answer.echoed("x-forwarded-client-cert")
    assert answer.status == status
    assert 'Subject="CN=me"' in told
    assert "forged" not in told


@pytest.fixture(scope="module")
def mutual(echo: EchoUpstream) -> Iterator[GatewayEnvoy]:
    with GatewayEnvoy(serving(echo, client_ca="clients")) as running:
        yield running


async def test_a_connection_is_resumed_and_no_request_is_taken_before_the_handshake(
    echo: EchoUpstream,
) -> None:
    tickets: list[SessionTicket] = []
    # Envoy's workers do not know one another's tickets
    with GatewayEnvoy(serving(echo), concurrency=1) as running:
        port = running.envoy.port("http/http3")
        async with http3(port, AUTHORITY.pem, tickets=tickets) as connection:
            assert (await connection.get("/", host=HOST)).status == 200
        (ticket, *_) = tickets
        # early data could be sent a second time by whoever copies its packets
        assert ticket.max_early_data_size is None
        async with http3(port, AUTHORITY.pem, resumed=ticket) as connection:
            assert connection.resumed
            assert (await connection.get("/", host=HOST)).status == 200
