"""How long from a change of an EndpointSlice until Envoy sends requests to the new endpoint?

Two servers answer with their own port. The EndpointSlice of one Service names now the one, now
the other. EndpointSlices may not hold loopback addresses, so the servers listen on an address
of this machine's own; nothing leaves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench import configs
from bench.answers import Answers
from bench.cluster import NAMESPACE, Cluster
from bench.harness import BenchError
from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import ENDPOINT_SLICES, SERVICES

NAME = "moving"
PATH = f"/{NAME}"
_PAUSE = 0.02
"""So that a move is not measured together with the one before."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer with the own port."""
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError as error:
            raise BenchError("this machine has no address but loopback") from error
        address: str = sock.getsockname()[0]
    return address


@contextlib.contextmanager
def _server(address: str) -> Iterator[int]:
    with ThreadingHTTPServer((address, 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _slice(address: str, port: int) -> Document:
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


async def measure(made: Cluster, listener: int, samples: int) -> list[float]:
    """Move the endpoint so many times; milliseconds from before the request, each."""
    address = own_address()
    with (
        _server(address) as one,
        _server(address) as two,
        contextlib.closing(Answers(listener)) as answers,
    ):
        await _make(made, _slice(address, one))
        await answers.until(PATH, (200, str(one)), 30)
        found = []
        for number in range(samples):
            port = (two, one)[number % 2]
            patch = {"ports": _slice(address, port)["ports"]}
            began = time.perf_counter()
            await made.client.merge_patch(ENDPOINT_SLICES, NAMESPACE, NAME, patch)
            served = await answers.until(PATH, (200, str(port)), 30)
            found.append((served - began) * 1000)
            await asyncio.sleep(_PAUSE)
        await made.delete(*_ours())
        await made.client.delete(ENDPOINT_SLICES, NAMESPACE, NAME)
        await made.client.delete(SERVICES, NAMESPACE, NAME)
        return found


async def _make(made: Cluster, endpoints: Document) -> None:
    spec: Any = {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}
    await made.client.create(SERVICES, NAMESPACE, service)
    await made.client.create(ENDPOINT_SLICES, NAMESPACE, endpoints)
    await made.create(*_ours())


def _ours() -> tuple[Document, Document]:
    backend: Any = configs.resource("Backend", NAME, {"service": {"name": NAME, "port": 80}})
    spec: Any = {
        "matches": [{"path": {"value": PATH}}],
        "auth": {"mode": "None"},
        "backends": [{"kind": "Backend", "name": NAME}],
    }
    route: Any = configs.resource("Route", NAME, spec)
    return backend, route
