"""One HTTP/2 request with exactly the fields it is told, well-formed or not (RFC 9113)."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

_CONFIG = h2.config.H2Configuration(
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    header_encoding="latin-1",
)


@dataclass(slots=True)
class Http2Response:
    """``status`` is 0 when the stream was reset or the connection closed (``ended`` says how)."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    ended: str = ""

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def echoed(self, name: str) -> list[str]:
        """The values of a request header as the echo upstream saw them."""
        return [value for key, value in self.json()["headers"] if key == name]


def pseudo(
    path: str = "/", method: str = "GET", authority: str = "x.example.com"
) -> list[tuple[str, str]]:
    """The pseudo-header fields of a request."""
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]


def http2_request(
    port: int,
    fields: Sequence[tuple[str, str]],
    *,
    body: bytes = b"",
    trailers: Sequence[tuple[str, str]] = (),
    timeout: float = 60.0,
) -> Http2Response:
    """Send ``fields``, pseudo-header fields among them, and wait for the end of the stream."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        stream = h2.connection.H2Connection(_CONFIG)
        stream.initiate_connection()
        last = not body and not trailers
        stream.send_headers(1, list(fields), end_stream=last)
        if body:
            stream.send_data(1, body, end_stream=not trailers)
        if trailers:
            stream.send_headers(1, list(trailers), end_stream=True)
        connection.sendall(stream.data_to_send())
        return _read(connection, stream)


def _read(connection: socket.socket, stream: h2.connection.H2Connection) -> Http2Response:
    answer = Http2Response()
    while True:
        try:
            received = connection.recv(65536)
        except ConnectionResetError:
            received = b""
        if not received:
            answer.ended = answer.ended or "connection closed"
            return answer
        for event in stream.receive_data(received):
            if isinstance(event, h2.events.ResponseReceived):
                answer.headers = [(str(name), str(value)) for name, value in event.headers or []]
                answer.status = int(dict(answer.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                answer.body += event.data or b""
                stream.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            elif isinstance(event, h2.events.TrailersReceived):
                answer.trailers = [(str(name), str(value)) for name, value in event.headers or []]
            elif isinstance(event, h2.events.StreamEnded):
                answer.ended = "ended"
                return answer
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                answer.ended = type(event).__name__
                return answer
        connection.sendall(stream.data_to_send())
