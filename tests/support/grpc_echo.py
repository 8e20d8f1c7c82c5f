"""A real gRPC server with every kind of call, and a client's stubs for it. Messages are bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio

SERVICE = "fluxgate.test.Echo"
TRAILER = ("x-trailer", "after the message")
Context = aio.ServicerContext[bytes, bytes]


class GrpcEcho:
    """Echoes; ``waiting`` and ``cancelled`` are set when a call of Wait arrives and is cancelled."""

    def __init__(self) -> None:
        self.port = 0
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.metadata: dict[str, str] = {}
        self.remaining: float | None = None
        self._server = aio.server()

    async def __aenter__(self) -> Self:
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "Collect": grpc.stream_unary_rpc_method_handler(self._collect),
            "Repeat": grpc.unary_stream_rpc_method_handler(self._repeat),
            "Talk": grpc.stream_stream_rpc_method_handler(self._talk),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wait),
            "Refuse": grpc.unary_unary_rpc_method_handler(self._refuse),
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.stop(0)

    async def _unary(self, request: bytes, context: Context) -> bytes:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.remaining = context.time_remaining()
        context.set_trailing_metadata((TRAILER,))
        return request

    async def _collect(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        return b",".join([each async for each in requests])

    async def _repeat(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield str(number).encode()
        context.set_trailing_metadata((TRAILER,))

    async def _talk(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for each in requests:
            yield each.upper()
        context.set_trailing_metadata((TRAILER,))

    async def _wait(self, request: bytes, context: Context) -> bytes:
        self.remaining = context.time_remaining()
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return request

    async def _refuse(self, request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata((TRAILER,))
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: \u2603")
        return request


class Stub:
    """The calls of :class:`GrpcEcho` over ``channel``."""

    def __init__(self, channel: aio.Channel, service: str = SERVICE) -> None:
        def name(method: str) -> str:
            return f"/{service}/{method}"

        self.unary: Any = channel.unary_unary(name("Unary"))
        self.collect: Any = channel.stream_unary(name("Collect"))
        self.repeat: Any = channel.unary_stream(name("Repeat"))
        self.talk: Any = channel.stream_stream(name("Talk"))
        self.wait: Any = channel.unary_unary(name("Wait"))
        self.refuse: Any = channel.unary_unary(name("Refuse"))
