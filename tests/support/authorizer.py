"""Authorization services: the real gRPC interface on grpc.aio, and an HTTP service that answers by a status."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.service.auth.v3 import external_auth_pb2 as auth_v3
from envoy.service.auth.v3 import external_auth_pb2_grpc as auth_v3_grpc
from google.rpc import code_pb2

Decide = Callable[[auth_v3.CheckRequest], auth_v3.CheckResponse]


def passing(**headers: str) -> auth_v3.CheckResponse:
    """Let it pass, with these headers set on the request."""
    answer = auth_v3.CheckResponse()
    answer.status.code = code_pb2.OK
    for name, value in headers.items():
        answer.ok_response.headers.append(_header(name, value))
    return answer


def refusing(status: int, body: str = "", **headers: str) -> auth_v3.CheckResponse:
    """Refuse it with a status of one's own."""
    answer = auth_v3.CheckResponse()
    answer.status.code = code_pb2.PERMISSION_DENIED
    answer.denied_response.status.code = status  # type: ignore[assignment]
    answer.denied_response.body = body
    for name, value in headers.items():
        answer.denied_response.headers.append(_header(name, value))
    return answer


def _header(name: str, value: str) -> core_v3.HeaderValueOption:
    return core_v3.HeaderValueOption(
        header=core_v3.HeaderValue(key=name.replace("_", "-"), value=value),
        append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


class GrpcAuthorizer:
    """The service in a thread with an event loop of its own; ``decide`` is replaced at will.

    ``asked`` are the requests it got, ``metadata`` the gRPC metadata of the last one.
    """

    def __init__(self) -> None:
        self.decide: Decide = lambda _: passing()
        self.asked: list[auth_v3.CheckRequest] = []
        self.metadata: dict[str, str] = {}
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """End the server; what it listened on is closed."""
        asyncio.run_coroutine_threadsafe(self._server.stop(None), self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        self._server = grpc.aio.server()
        auth_v3_grpc.add_AuthorizationServicer_to_server(_Service(self), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()


class _Service(auth_v3_grpc.AuthorizationServicer):  # type: ignore[misc]
    def __init__(self, owner: GrpcAuthorizer) -> None:
        self._owner = owner

    async def Check(  # noqa: N802 - the name of the RPC
        self, request: auth_v3.CheckRequest, context: Any
    ) -> auth_v3.CheckResponse:
        self._owner.asked.append(request)
        self._owner.metadata = dict(context.invocation_metadata())
        return self._owner.decide(request)
