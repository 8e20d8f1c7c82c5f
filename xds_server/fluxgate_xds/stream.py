"""The loop of one admitted stream: wait for a request, a snapshot or a deadline; answer; write."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from structlog.typing import FilteringBoundLogger

from fluxgate.ports import Nack, TypeState
from fluxgate.xds import typeurl
from fluxgate_xds.admission import gateway_of
from fluxgate_xds.cache import SnapshotCache, Watch
from fluxgate_xds.nodes import NodeHandle, NodeRegistry
from fluxgate_xds.session import Session
from fluxgate_xds.typestream import Response
from fluxgate_xds.wire import Encoder

EOF: object = vars(grpc.aio)["EOF"]  # the stubs lack it
_MAX_NAMES_LOGGED = 10

Request: TypeAlias = "discovery_v3.DeltaDiscoveryRequest | discovery_v3.DiscoveryRequest"


class Stream:
    """The loop of one admitted stream."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        session: Session[Any],
        encoder: Encoder,
        handle: NodeHandle,
        cache: SnapshotCache,
        registry: NodeRegistry,
        log: FilteringBoundLogger,
    ) -> None:
        self._log = log
        self._context = context
        self._session = session
        self._encoder = encoder
        self._handle = handle
        self._cache = cache
        self._registry = registry
        self._first_node: core_v3.Node = None
        self._reported: dict[str, Nack] = {}

    async def run(
        self,
        first: Request,
        watch: Watch,
        closing: asyncio.Event,
        clock: Callable[[], float],
        expires: float = math.inf,
    ) -> None:
        """Serve until the client leaves, misbehaves, its proof expires, or the server closes."""
        self._first_node = first.node
        self._adopt(watch, clock())
        await self._receive(first, clock())
        reading = asyncio.ensure_future(self._context.read())
        published = asyncio.ensure_future(watch.published.wait())
        closed = asyncio.ensure_future(closing.wait())
        try:
            while not closed.done() and clock() < expires:
                await asyncio.wait(
                    {reading, published, closed},
                    timeout=self._until_wake(clock(), expires),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if reading.done():
                    if (request := reading.result()) is EOF:
                        return
                    await self._receive(request, clock())
                    reading = asyncio.ensure_future(self._context.read())
                if published.done():
                    watch.published.clear()
                    await self._write(self._adopt(watch, clock()))
                    published = asyncio.ensure_future(watch.published.wait())
                elif not reading.done():
                    await self._write(self._session.tick(clock()))
        finally:
            for task in (reading, published, closed):
                task.cancel()
        if closing.is_set():
            await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the xDS server is stopping")
        reason = "the token has expired; connect with the present one"
        await self._context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)

    def _until_wake(self, now: float, expires: float) -> float | None:
        wake_at = min(self._session.wake_at or math.inf, expires)
        # the cap: a clock that is set forward is noticed within the hour
        return None if wake_at == math.inf else min(max(0.0, wake_at - now), 3600.0)

    def _adopt(self, watch: Watch, now: float) -> list[Response]:
        snapshot, current = watch.snapshot, self._session.snapshot
        if snapshot is None or snapshot is current:
            return []
        changes = {} if current is None else self._cache.changes.between(current, snapshot)
        return self._session.publish(snapshot, changes, now)

    async def _receive(self, request: Request, now: float) -> None:
        problem = self._problem(request)
        if problem:
            self._registry.counters.streams_refused += 1
            self._log.warning("stream refused", reason=problem)
            await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        await self._write(self._session.receive(request, now))

    def _problem(self, request: Request) -> str:
        if not request.type_url:
            return "an aggregated stream needs type_url in every request"
        node = request.node
        first = self._first_node
        if node.id and (node.id, gateway_of(node)) != (first.id, gateway_of(first)):
            return "node.id and node.cluster must not change within a stream"
        return ""

    async def _write(self, responses: list[Response]) -> None:
        states = self._session.states()
        self._report(states)
        self._handle.update(states, self._session.acked_snapshot)
        counters = self._registry.counters
        for response in responses:
            message = self._encoder.encode(response)
            counters.responses += 1
            counters.response_bytes += len(message)
            await self._context.write(message)

    def _report(self, states: Mapping[str, TypeState]) -> None:
        """Log each rejection once, in the client's words; what it says of a secret is left out."""
        for url, state in states.items():
            if state.nack is None or state.nack == self._reported.get(url):
                continue
            self._reported[url] = state.nack
            self._log.warning(
                "configuration rejected",
                type=typeurl.short(url),
                version=state.nack.version,
                resources=list(state.nack.resources[:_MAX_NAMES_LOGGED]),
                error="(not shown)" if url == typeurl.SECRET else state.nack.message,
            )
