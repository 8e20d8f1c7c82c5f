"""A DNS server (RFC 1035) for tests: answers A and AAAA queries over UDP from a table."""

from __future__ import annotations

import ipaddress
import socketserver
import struct
import threading
from types import TracebackType
from typing import Self

_A, _AAAA = 1, 28
_ANSWER, _NO_SUCH_NAME = 0x8180, 0x8183


class NameServer:
    """``names`` maps names to addresses, and may change at any time; ``asked`` counts queries."""

    host = "127.0.0.1"

    def __init__(self, names: dict[str, list[str]], ttl: int = 60) -> None:
        self.names = names
        self.ttl = ttl
        self.asked = 0
        self._server = socketserver.UDPServer((self.host, 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        answer = self._answer

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, sock = self.request
                sock.sendto(answer(query), self.client_address)

        return Handler

    def _answer(self, query: bytes) -> bytes:
        self.asked += 1
        name, end = _name(query, 12)
        (kind,) = struct.unpack_from("!H", query, end)
        question = query[12 : end + 4]
        addresses = self.names.get(name.lower())
        if addresses is None:
            return query[:2] + struct.pack("!5H", _NO_SUCH_NAME, 1, 0, 0, 0) + question
        wanted = 4 if kind == _A else 6
        found = [
            each.packed
            for each in map(ipaddress.ip_address, addresses)
            if each.version == wanted and kind in (_A, _AAAA)
        ]
        records = b"".join(
            struct.pack("!HHHIH", 0xC00C, kind, 1, self.ttl, len(each)) + each for each in found
        )
        head = query[:2] + struct.pack("!5H", _ANSWER, 1, len(found), 0, 0)
        return head + question + records


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels = []
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1
