"""Connections to an API server that is there and says nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from support.certificates import Authority
from support.tls import trusting

from fluxgate_operator.kube.connector import api_connector

NAME = "localhost"
AUTHORITY = Authority()
PAIR = AUTHORITY.issue(NAME)


class SilentServer:
    """Takes one connection, agrees on TLS, and then says nothing, not even goodbye."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self._connection: ssl.SSLSocket | None = None
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Accept the connection."""
        raw, _ = self._listener.accept()
        self._connection = self._tls.wrap_socket(raw, server_side=True)

    def heard_the_end(self, seconds: float) -> bool:
        """Whether the client closed its side within ``seconds`` of silence."""
        assert self._connection is not None
        with socket.socket(fileno=self._connection.detach()) as raw:
            raw.settimeout(seconds)
            try:
                while raw.recv(65536):
                    pass
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        return True

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


@contextmanager
def silent_server(folder: Path) -> Iterator[SilentServer]:
    (folder / "tls.crt").write_bytes(PAIR.certificate)
    (folder / "tls.key").write_bytes(PAIR.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = SilentServer(tls)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        thread.join(60)
        server.close()


async def test_a_request_that_is_given_up_leaves_no_socket_behind_its_pool(tmp_path: Path) -> None:
    with silent_server(tmp_path) as server:
        url = f"https://{NAME}:{server.port}/"
        pool = api_connector(trusting(AUTHORITY), 1)
        async with aiohttp.ClientSession(connector=pool) as session:
            with pytest.raises(TimeoutError):
                await session.get(url, timeout=aiohttp.ClientTimeout(total=0.5))
        assert await asyncio.to_thread(server.heard_the_end, 10)
