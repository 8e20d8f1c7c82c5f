"""Free ports, and ports that somebody else already has.

Envoy binds with SO_REUSEPORT, which would let two processes share a port silently, so
the question is asked before Envoy is.
"""

from __future__ import annotations

import errno
import socket

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.ir import Gateway
from fluxgate.resources import Object


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


def why_not(host: str, port: int, udp: bool = False) -> str:
    """Why ``host:port`` cannot be bound; empty when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as sock:
        if not udp:
            # As Envoy sets it: connections of an earlier listener in TIME_WAIT do not count.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"another process already listens on {host}:{port}{' (UDP)' if udp else ''}"
            return f"{host}:{port} cannot be bound: {error.strerror}"
    return ""


def addresses_of(gateway: Gateway) -> frozenset[tuple[str, int, bool]]:
    """Every address and port of the gateway's listeners, and whether it is one of UDP."""
    found = {(each.address, each.port, False) for each in gateway.listeners}
    return frozenset(
        found | {(each.address, each.port, True) for each in gateway.listeners if each.http3}
    )


def urls_of(gateway: Gateway) -> tuple[str, ...]:
    """The URL of every listener, as reached from this machine."""
    urls = (_url(each.address, each.port, each.tls is not None) for each in gateway.listeners)
    return tuple(dict.fromkeys(urls))


def _url(address: str, port: int, tls: bool) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104 - compared
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"


def with_http_port(obj: Object, port: int | None) -> Object:
    """``obj``, with the port of its first HTTP listener replaced when it is a GatewayConfig."""
    if port is None or not isinstance(obj, GatewayConfig):
        return obj
    listeners = list(obj.spec.listeners)
    for index, listener in enumerate(listeners):
        if listener.protocol == "HTTP":
            listeners[index] = listener.model_copy(update={"port": port})
            spec = obj.spec.model_copy(update={"listeners": tuple(listeners)})
            return obj.model_copy(update={"spec": spec})
    return obj
