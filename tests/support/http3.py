"""A real HTTP/3 client: aioquic, one connection, requests one after another."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.tls import SessionTicket

from support.certificates import Pair
from support.client import HeaderPairs, Response

SECONDS = 60.0


@dataclass
class _Answer:
    done: asyncio.Future[None]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Http3Connection(QuicConnectionProtocol):
    """One connection. :func:`http3` makes it."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self._http = H3Connection(self._quic)
        self._answers: dict[int, _Answer] = {}

    async def get(self, path: str, *, host: str, headers: HeaderPairs = ()) -> Response:
        """One GET request."""
        return await self.send("GET", path, host=host, headers=headers)

    async def send(
        self, method: str, path: str, *, host: str, headers: HeaderPairs = (), body: bytes = b""
    ) -> Response:
        """One request and its whole answer."""
        stream = self._quic.get_next_available_stream_id()
        answer = _Answer(asyncio.get_running_loop().create_future())
        self._answers[stream] = answer
        pairs = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
        named = [(name.encode(), value.encode()) for name, value in [*pairs, *headers]]
        self._http.send_headers(stream, named, end_stream=not body)
        if body:
            self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        await asyncio.wait_for(answer.done, SECONDS)
        plain = tuple((name.decode(), value.decode()) for name, value in answer.headers)
        fields = tuple(pair for pair in plain if pair[0] != ":status")
        return Response(int(dict(plain)[":status"]), fields, answer.body)

    @property
    def resumed(self) -> bool:
        """Whether the server took the ticket of an earlier connection."""
        return bool(self._quic.tls.session_resumed)

    def peer_serial(self) -> int:
        """The serial number of the server's certificate."""
        certificate = self._quic.tls._peer_certificate
        assert certificate is not None
        return int(certificate.serial_number)

    def quic_event_received(self, event: QuicEvent) -> None:
        """From aioquic, for every event of the connection."""
        if isinstance(event, ConnectionTerminated):
            for answer in self._answers.values():
                if not answer.done.done():
                    answer.done.set_exception(ConnectionError(event.reason_phrase))
        for each in self._http.handle_event(event):
            self._take(each)

    def _take(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        answer = self._answers[event.stream_id]
        if isinstance(event, HeadersReceived):
            answer.headers += event.headers
        else:
            answer.body += event.data
        if event.stream_ended and not answer.done.done():
            answer.done.set_result(None)


@asynccontextmanager
async def http3(
    port: int,
    authority: bytes,
    *,
    name: str = "example.com",
    client: Pair | None = None,
    tickets: list[SessionTicket] | None = None,
    resumed: SessionTicket | None = None,
) -> AsyncIterator[Http3Connection]:
    """A connection to ``port`` on loopback that asks for ``name`` and trusts ``authority`` (PEM).

    ``tickets`` takes what the server gives for a later connection, which may be ``resumed`` by one.
    """
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
    configuration.load_verify_locations(cadata=authority)
    if client is not None:
        with tempfile.TemporaryDirectory() as folder:
            chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
            chain.write_bytes(client.certificate)
            key.write_bytes(client.key)
            configuration.load_cert_chain(chain, key)
    configuration.session_ticket = resumed
    async with connect(
        "127.0.0.1",
        port,
        configuration=configuration,
        create_protocol=Http3Connection,
        session_ticket_handler=None if tickets is None else tickets.append,
    ) as connection:
        assert isinstance(connection, Http3Connection)
        yield connection
