"""A real external processor: envoy.service.ext_proc.v3.ExternalProcessor by grpc.aio.

What it does is up to the path of the request: :class:`Processor` has one method a behaviour.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc_v3

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


def _headers(message: Any) -> dict[str, str]:
    return {each.key: each.raw_value.decode() for each in message.headers.headers}


def _mutation(**values: str) -> dict[str, Any]:
    options = [
        {
            "header": {"key": name.replace("_", "-"), "raw_value": value.encode()},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for name, value in values.items()
    ]
    return {"response": {"header_mutation": {"set_headers": options}}}


class Processor:
    """Serves on a free port of 127.0.0.1 while entered. ``seen`` are the kinds of messages it got."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: grpc.aio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._process,
            request_deserializer=ext_proc_v3.ProcessingRequest.FromString,
            response_serializer=ext_proc_v3.ProcessingResponse.SerializeToString,
        )
        generic = grpc.method_handlers_generic_handler(SERVICE, {"Process": handler})
        self._server.add_generic_rpc_handlers((generic,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def _stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    async def _process(
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        path = ""
        async for request in requests:
            kind = str(request.WhichOneof("request"))
            self.seen.append(kind)
            if kind == "request_headers":
                path = _headers(request.request_headers).get(":path", "")
            if path.endswith("/silent"):
                await asyncio.Event().wait()
            if path.endswith("/broken"):
                await context.abort(grpc.StatusCode.INTERNAL, "out of order")
            yield ext_proc_v3.ProcessingResponse(**self._answer(kind, path, request))

    def _answer(self, kind: str, path: str, request: Any) -> dict[str, Any]:
        if kind == "request_headers" and path.endswith("/refuse"):
            status = {"status": {"code": 403}, "body": b"not you"}
            return {"immediate_response": status}
        if kind == "request_headers":
            forged = {"x_tenant_id": "somebody-else", "x_processed": "yes"}
            if path.endswith("/reroute"):
                forged = {":path": "/guarded"}
            answer = _mutation(**forged)
            answer["response"]["clear_route_cache"] = True
            return {kind: answer}
        if kind == "response_headers":
            return {kind: _mutation(x_answered="yes")}
        if kind in ("request_body", "response_body"):
            body = getattr(request, kind).body.upper()
            return {kind: {"response": {"body_mutation": {"body": body}}}}
        return {kind: {}}
