"""The aggregated discovery service: the only module that moves session messages over gRPC.

A stream is a task that waits for a request, a new snapshot or a deadline, asks its
session what to send, and writes it. Writing waits for HTTP/2 flow control; what
is published meanwhile is seen afterwards, as the newest snapshot only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from google.protobuf import json_format

from fluxgate_xds.cache import SnapshotCache, Watch
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.identity import Identities
from fluxgate_xds.nodes import Clock, NodeHandle, NodeRegistry
from fluxgate_xds.session import Session
from fluxgate_xds.sotw import SotwSession
from fluxgate_xds.typestream import Response
from fluxgate_xds.wire import DeltaEncoder, Encoder, SotwEncoder

_EOF: object = vars(grpc.aio)["EOF"]  # the stubs lack it

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

Request: TypeAlias = "discovery_v3.DeltaDiscoveryRequest | discovery_v3.DiscoveryRequest"
_log = structlog.get_logger("fluxgate.xds")


class AdsService:
    """Serves both variants of ADS from a cache, and reports to a registry."""

    def __init__(
        self,
        cache: SnapshotCache,
        registry: NodeRegistry,
        *,
        mutual_tls: bool,
        clock: Clock = time.time,
    ) -> None:
        self._cache = cache
        self._registry = registry
        self._mutual_tls = mutual_tls
        self._clock = clock
        self._delta = DeltaEncoder()
        self._sotw = SotwEncoder()
        self._closing = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """What a server registers. Responses are bytes already."""
        methods = {
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                self._serve_delta, discovery_v3.DeltaDiscoveryRequest.FromString
            ),
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                self._serve_sotw, discovery_v3.DiscoveryRequest.FromString
            ),
        }
        return grpc.method_handlers_generic_handler(ADS, methods)

    def close(self) -> None:
        """End every stream with UNAVAILABLE, so that clients go elsewhere at once."""
        self._closing.set()

    async def _serve_delta(self, _: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await self._serve(context, DeltaSession(), self._delta)

    async def _serve_sotw(self, _: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await self._serve(context, SotwSession(), self._sotw)

    async def _serve(
        self, context: grpc.aio.ServicerContext[Any, Any], session: Session[Any], encoder: Encoder
    ) -> None:
        request = await context.read()
        if request is _EOF:
            return
        node = await self._admit(request, context)
        metadata = json_format.MessageToDict(node.metadata)
        handle = self._registry.connect(node.cluster, node.id, _user_agent(node), metadata)
        stream = _Stream(context, session, encoder, handle, self._cache, self._registry)
        try:
            with self._cache.watch(node.cluster) as watch:
                await stream.run(request, watch, self._closing, self._clock)
        finally:
            handle.close()

    async def _admit(
        self, request: Request, context: grpc.aio.ServicerContext[Any, Any]
    ) -> core_v3.Node:
        """The node of a first request, or an end of the stream that says why."""
        node = request.node
        if not node.id or not node.cluster:
            await self._refuse(
                context,
                grpc.StatusCode.INVALID_ARGUMENT,
                "the first request must carry node.id and node.cluster (the gateway's name)",
            )
        peer = Identities.of(context.auth_context(), mutual_tls=self._mutual_tls)
        if not peer.may_be(node.cluster, node.id):
            await self._refuse(
                context,
                grpc.StatusCode.PERMISSION_DENIED,
                f"the client certificate does not allow node {node.id!r} of {node.cluster!r}",
            )
        return node

    async def _refuse(
        self, context: grpc.aio.ServicerContext[Any, Any], code: grpc.StatusCode, reason: str
    ) -> None:
        self._registry.counters.streams_refused += 1
        _log.warning("stream refused", peer=context.peer(), code=code.name, reason=reason)
        await context.abort(code, reason)


class _Stream:
    """The loop of one admitted stream."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        session: Session[Any],
        encoder: Encoder,
        handle: NodeHandle,
        cache: SnapshotCache,
        registry: NodeRegistry,
    ) -> None:
        self._context = context
        self._session = session
        self._encoder = encoder
        self._handle = handle
        self._cache = cache
        self._registry = registry
        self._first_node: core_v3.Node = None

    async def run(
        self, first: Request, watch: Watch, closing: asyncio.Event, clock: Callable[[], float]
    ) -> None:
        """Serve until the client leaves, misbehaves, or the server closes."""
        self._first_node = first.node
        self._adopt(watch, clock())
        await self._receive(first, clock())
        reading = asyncio.ensure_future(self._context.read())
        published = asyncio.ensure_future(watch.published.wait())
        closed = asyncio.ensure_future(closing.wait())
        try:
            while not closed.done():
                await asyncio.wait(
                    {reading, published, closed},
                    timeout=self._until_wake(clock()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if reading.done():
                    if (request := reading.result()) is _EOF:
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
        await self._context.abort(grpc.StatusCode.UNAVAILABLE, "the xDS server is stopping")

    def _until_wake(self, now: float) -> float | None:
        wake_at = self._session.wake_at
        return None if wake_at is None else max(0.0, wake_at - now)

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
            await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, problem)
        await self._write(self._session.receive(request, now))

    def _problem(self, request: Request) -> str:
        if not request.type_url:
            return "an aggregated stream needs type_url in every request"
        node = request.node
        if node.id and (node.id, node.cluster) != (self._first_node.id, self._first_node.cluster):
            return "node.id and node.cluster must not change within a stream"
        return ""

    async def _write(self, responses: list[Response]) -> None:
        self._handle.update(self._session.states(), self._session.acked_snapshot)
        counters = self._registry.counters
        for response in responses:
            message = self._encoder.encode(response)
            counters.responses += 1
            counters.response_bytes += len(message)
            await self._context.write(message)


def _user_agent(node: core_v3.Node) -> str:
    """Name and version as the client gives them (``envoy/1.40.0``)."""
    build = node.user_agent_build_version.version
    number = f"{build.major_number}.{build.minor_number}.{build.patch}"
    version = node.user_agent_version or (
        number if node.HasField("user_agent_build_version") else ""
    )
    return f"{node.user_agent_name}/{version}" if version else str(node.user_agent_name)
