"""The server's side: streams this replica's report to every peer that asks.

Served by the xDS server, ``/fluxgate.v1alpha1.Replicas/Watch``: a greeting in, reports out, both
JSON. A report is sent whole, at once and after every change; an empty message is a heartbeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from fluxgate_operator.notify import Signal
from fluxgate_operator.replicas.report import Report, ReportError, decode_hello, encode
from fluxgate_xds.identity import Identities

SERVICE = "fluxgate.v1alpha1.Replicas"
WATCH = "Watch"


class ReplicaService:
    """What the xDS server registers (:meth:`handler`). ``peers`` None: no TLS, loopback only."""

    def __init__(
        self,
        identity: str,
        peers: tuple[str, ...] | None,
        heartbeat: float,
        greeted: Callable[[str], None],
        log: FilteringBoundLogger,
    ) -> None:
        self._identity = identity
        self._peers = peers
        self._heartbeat = heartbeat
        self._greeted = greeted
        self._log = log
        self._report = Report()
        self._closed = False
        self._changed = Signal()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Bytes in and out."""
        watch = grpc.unary_stream_rpc_method_handler(self._watch)
        return grpc.method_handlers_generic_handler(SERVICE, {WATCH: watch})

    def publish(self, report: Report) -> None:
        """Tell every peer, unless this is what they know already."""
        if report != self._report:
            self._report = report
            self._changed.notify()

    def close(self) -> None:
        """End every stream; peers look for us among the Leases then."""
        self._closed = True
        self._changed.notify()

    async def _watch(
        self, hello: bytes, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[bytes]:
        peer = await self._admit(hello, context)
        self._greeted(peer)
        sent: Report | None = None
        while not self._closed:
            changed = self._changed.subscribe()
            report = self._report
            if report is sent:
                yield b""
            else:
                yield encode(self._identity, report, time.time())
                sent = report
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat):
                    await changed

    async def _admit(self, hello: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        proven = Identities.of(context.auth_context(), mutual_tls=self._peers is not None)
        if not proven.is_any(self._peers or ()):
            self._log.warning("a peer was refused", peer=context.peer(), names=sorted(proven.names))
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "this is for replicas of the control plane"
            )
        try:
            return decode_hello(hello)
        except ReportError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
