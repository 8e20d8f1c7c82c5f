"""TLS listeners for tests, and handshakes with them."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fluxgate.ir import ListenerIR, ListenerTLSIR
from support.certificates import Authority, Pair


def tls_listener(
    name: str, *server_names: str, certificate: str, http3: bool = False, **tls: object
) -> ListenerIR:
    """An HTTPS listener with one certificate, or ``certificates``; all of them share a port."""
    terminated = ListenerTLSIR(**{"certificates": (certificate,), **tls})  # type: ignore[arg-type]
    return ListenerIR(
        name, "127.0.0.1", 8443, "main", server_names, terminated, http3=http3, alt_svc_port=8443
    )


def trusting(authority: Authority, *alpn: str, client: Pair | None = None) -> ssl.SSLContext:
    """A client that trusts one authority, offers these protocols, and may have a certificate."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "client.pem"
            path.write_bytes(client.certificate + client.key)
            context.load_cert_chain(path)
    return context


@contextmanager
def handshake(port: int, context: ssl.SSLContext, name: str) -> Iterator[ssl.SSLSocket]:
    """A connection to ``port`` on loopback that asks for ``name``."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        yield secured


def get(port: int, context: ssl.SSLContext, name: str, *headers: str) -> bytes:
    """The raw answer to one request of its own connection."""
    with handshake(port, context, name) as secured:
        lines = [f"GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close", *headers]
        secured.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = b""
        while chunk := secured.recv(65536):
            answer += chunk
        return answer
