"""A client that sends exactly what it is told: no path clean-up, no header added, duplicates kept."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HeaderPairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names in lower case, in the order received."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    def echoed(self, name: str) -> list[str]:
        """The values of a request header as the echo upstream saw them."""
        return [value for key, value in self.json()["headers"] if key == name.lower()]


def _host(headers: list[tuple[str, str]], port: int) -> list[tuple[str, str]]:
    if any(name.lower() == "host" for name, _ in headers):
        return []
    return [("host", f"127.0.0.1:{port}")]


def request(
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    headers: HeaderPairs = (),
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
    timeout: float = 60.0,
) -> Response:
    """One HTTP/1.1 request on a connection of its own; ``path`` goes out byte for byte."""
    pairs = list(headers)
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    )
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in _host(pairs, port) + pairs:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Response(
            answer.status,
            tuple((name.lower(), value) for name, value in answer.getheaders()),
            answer.read(),
        )
    finally:
        connection.close()


def send_bytes(port: int, payload: bytes, *, timeout: float = 60.0) -> bytes:
    """Write bytes to a fresh connection, and read until the other side closes it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(payload)
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except ConnectionResetError:
            return answer
    return answer


def answers_to(port: int, payload: bytes, *, timeout: float = 60.0) -> list[Response]:
    """Write bytes to a fresh connection; the answers up to the one that ends the connection.

    Answers below 200 are not final and left out.
    """
    found: list[Response] = []
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(payload)
        stream = connection.makefile("rb")
        while (answer := _read_answer(stream)) is not None:
            if answer.status >= 200:
                found.append(answer)
            if answer.header("connection") == "close":
                break
    return found


def _read_answer(stream: Any) -> Response | None:
    """One answer with a length; None when the connection has ended."""
    try:
        status = stream.readline()
        if not status:
            return None
        headers = http.client.parse_headers(stream)
        body = stream.read(int(headers.get("content-length", 0)))
    except ConnectionResetError:
        return None
    pairs = tuple((name.lower(), value) for name, value in headers.items())
    return Response(int(status.split()[1]), pairs, body)
