"""Probing the workers of a node, over connections the test answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fluxgate.ports import NodeState
from fluxgate_operator.probe import Prober, ProbeTarget, probe_target


@pytest.mark.parametrize(
    ("metadata", "target"),
    [
        ({}, None),
        ({"fluxgate.io/probe": "127.0.0.1:9000"}, ProbeTarget("127.0.0.1", 9000, 1)),
        (
            {"fluxgate.io/probe": "[::1]:9000", "fluxgate.io/concurrency": 4.0},
            ProbeTarget("::1", 9000, 4),
        ),
        (
            {"fluxgate.io/probe": "127.0.0.1:9000", "fluxgate.io/concurrency": 0},
            ProbeTarget("127.0.0.1", 9000, 1),
        ),
        ({"fluxgate.io/probe": "no port"}, None),
        ({"fluxgate.io/probe": "127.0.0.1:http"}, None),
        ({"fluxgate.io/probe": 9000}, None),
        ({"fluxgate.io/probe": "127.0.0.1:9000", "fluxgate.io/concurrency": "many"}, None),
    ],
)
def test_the_target_comes_from_the_nodes_metadata(
    metadata: dict[str, object], target: ProbeTarget | None
) -> None:
    state = NodeState("n", "main", True, "envoy", 0.0, 0.0, "v", metadata=metadata)
    assert probe_target(state) == target


class Workers:
    """A server that counts its connections; every answer is what ``reply`` makes of its number."""

    def __init__(self, reply: Callable[[int], bytes]) -> None:
        self.reply = reply
        self.connections = 0
        self.requests = 0
        self.asked = asyncio.Event()
        self.serving: list[asyncio.Task[None] | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.current_task())
        worker, self.connections = self.connections, self.connections + 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                self.asked.set()
                answer = self.reply(worker)
                writer.write(answer)
                if b"connection: close" in answer:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def probed(
    reply: Callable[[int], bytes], workers: int, port: int = 0
) -> AsyncIterator[tuple[Prober, Workers]]:
    made = Workers(reply)
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    prober = Prober(ProbeTarget("127.0.0.1", server.sockets[0].getsockname()[1], workers))
    try:
        yield prober, made
    finally:
        prober.close()
        server.close()
        await server.wait_closed()
        await asyncio.gather(*(task for task in made.serving if task))


def answer(version: str, more: str = "", body: str = "") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nX-FluxGate-Snapshot: {version}\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def prove(prober: Prober, wanted: str) -> None:
    async with asyncio.timeout(60):
        await prober.prove(lambda version: version == wanted)


async def test_every_worker_is_asked_on_a_connection_of_its_own_that_stays_open() -> None:
    async with probed(lambda _: answer("v1"), 3) as (prober, workers):
        await prove(prober, "v1")
        await prove(prober, "v1")
        assert (workers.connections, workers.requests) == (3, 6)
        assert prober.answers == {"v1": 3}


async def test_the_proof_waits_for_the_last_worker() -> None:
    versions = ["v2", "v1"]
    async with probed(lambda worker: answer(versions[worker]), 2) as (prober, workers):
        proving = asyncio.create_task(prove(prober, "v2"))
        for _ in range(10):
            workers.asked.clear()
            await workers.asked.wait()
        assert not proving.done()
        assert prober.answers == {"v2": 1, "v1": 1}
        versions[1] = "v2"
        await proving
        assert prober.answers == {"v2": 2}


async def test_a_body_is_read_away_and_a_closed_connection_is_made_again() -> None:
    async with probed(lambda _: answer("v1", "connection: close\r\n", "ok"), 1) as (
        prober,
        workers,
    ):
        await prove(prober, "v1")
        await prove(prober, "v1")
        assert workers.connections == 2


async def test_an_answer_without_a_version_proves_nothing() -> None:
    replies = [b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", b"nonsense\r\n\r\n"]

    def reply(_: int) -> bytes:
        return replies.pop() if replies else answer("v1")

    async with probed(reply, 1) as (prober, workers):
        await prove(prober, "v1")
        assert workers.requests == 3


async def test_a_node_that_cannot_be_reached_is_asked_until_it_can() -> None:
    async with probed(lambda _: answer("v1"), 1) as (prober, _):
        target = prober.target
    early = Prober(target)
    proving = asyncio.create_task(prove(early, "v1"))
    await asyncio.sleep(0)
    assert early.answers == {"": 1}
    async with probed(lambda _: answer("v1"), 1, target.port):
        await proving
        early.close()
