"""The aggregated discovery service: the only module that moves session messages over gRPC.

A stream is a task that waits for a request, a new snapshot or a deadline, asks its
session what to send, and writes it. Writing waits for HTTP/2 flow control; what
is published meanwhile is seen afterwards, as the newest snapshot only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from google.protobuf import json_format
from structlog.typing import FilteringBoundLogger

from fluxgate_xds.admission import Admission, Refusal, gateway_of
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.nodes import Clock, NodeRegistry
from fluxgate_xds.session import Session
from fluxgate_xds.sotw import SotwSession
from fluxgate_xds.stream import EOF, Request, Stream
from fluxgate_xds.tokens import TokenAuthority
from fluxgate_xds.wire import DeltaEncoder, Encoder, SotwEncoder

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"


class AdsService:
    """Serves both variants of ADS from a cache, and reports to a registry."""

    def __init__(
        self,
        cache: SnapshotCache,
        registry: NodeRegistry,
        *,
        mutual_tls: bool,
        clock: Clock = time.time,
        log: FilteringBoundLogger,
        tokens: TokenAuthority | None = None,
    ) -> None:
        self._log = log
        self._cache = cache
        self._registry = registry
        self._admission = Admission(mutual_tls, clock, tokens)
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
        def session(_: str) -> DeltaSession:
            return DeltaSession(views=self._cache.views)

        await self._serve(context, session, self._delta)

    async def _serve_sotw(self, _: object, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        def session(gateway: str) -> SotwSession:
            recall = partial(self._cache.recall, gateway)
            return SotwSession(views=self._cache.views, recall=recall)

        await self._serve(context, session, self._sotw)

    async def _serve(
        self,
        context: grpc.aio.ServicerContext[Any, Any],
        make: Callable[[str], Session[Any]],
        encoder: Encoder,
    ) -> None:
        request = await context.read()
        if request is EOF:
            return
        node, expires = request.node, await self._admit(request, context)
        gateway = gateway_of(node)
        metadata = json_format.MessageToDict(node.metadata)
        handle = self._registry.connect(gateway, node.id, _user_agent(node), metadata)
        log = self._log.bind(node=node.id, gateway=gateway)
        session = make(gateway)
        stream = Stream(context, session, encoder, handle, self._cache, self._registry, log)
        log.info("node connected", peer=context.peer(), client=_user_agent(node))
        try:
            with self._cache.watch(gateway) as watch:
                await stream.run(request, watch, self._closing, self._clock, expires)
        finally:
            handle.close()
            log.info("node disconnected", acknowledged=session.acked_snapshot)

    async def _admit(self, request: Request, context: grpc.aio.ServicerContext[Any, Any]) -> float:
        """Until when the node of a first request may be served; ends a stream that may not be."""
        answer = await self._admission.admit(request.node, context)
        if not isinstance(answer, Refusal):
            return answer
        await self._refuse(context, answer.code, answer.reason)
        raise AssertionError("abort has raised")

    async def _refuse(
        self, context: grpc.aio.ServicerContext[Any, Any], code: grpc.StatusCode, reason: str
    ) -> None:
        self._registry.counters.streams_refused += 1
        self._log.warning("stream refused", peer=context.peer(), code=code.name, reason=reason)
        await context.abort(code, reason)


def _user_agent(node: core_v3.Node) -> str:
    """Name and version as the client gives them (``envoy/1.40.0``)."""
    build = node.user_agent_build_version.version
    number = f"{build.major_number}.{build.minor_number}.{build.patch}"
    version = node.user_agent_version or (
        number if node.HasField("user_agent_build_version") else ""
    )
    return f"{node.user_agent_name}/{version}" if version else str(node.user_agent_name)
