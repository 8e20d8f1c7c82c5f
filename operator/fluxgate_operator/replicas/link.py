"""The client's side: one peer's reports, for as long as it is a member."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import grpc
import grpc.aio
from structlog.typing import FilteringBoundLogger

from fluxgate_operator.replicas.report import Report, ReportError, decode, encode_hello
from fluxgate_operator.replicas.service import SERVICE, WATCH
from fluxgate_operator.replicas.settings import PeerCredentials, ReplicaSettings, is_loopback

_METHOD = f"/{SERVICE}/{WATCH}"
_MAX_BYTES = 64 * 1024 * 1024


class Link:
    """Run :meth:`run`. ``told`` gets every report; ``lost`` is called when the stream ends."""

    def __init__(
        self,
        own: str,
        peer: str,
        address: str,
        credentials: PeerCredentials | None,
        settings: ReplicaSettings,
        told: Callable[[str, Report], None],
        lost: Callable[[], None],
        log: FilteringBoundLogger,
    ) -> None:
        self.peer = peer
        self.address = address
        self.connected = False
        self._hello = encode_hello(own)
        self._credentials = credentials
        self._settings = settings
        self._told = told
        self._lost = lost
        self._log = log.bind(peer=peer, address=address)

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        if self._credentials is None and not is_loopback(self.address):
            self._log.error("a replica elsewhere is not talked to without TLS")
            return
        pause = self._settings.backoff
        while True:
            try:
                await self._listen()
            except (grpc.aio.AioRpcError, TimeoutError, ReportError, OSError) as error:
                words = error.details() if isinstance(error, grpc.aio.AioRpcError) else repr(error)
                self._log.info("no reports from a replica", error=words)
            if self.connected:
                self.connected, pause = False, self._settings.backoff
                self._lost()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.backoff_limit)

    async def _listen(self) -> None:
        async with self._channel() as channel:
            call = channel.unary_stream(_METHOD, None, None)(self._hello)
            while True:
                async with asyncio.timeout(3 * self._settings.heartbeat):
                    payload = await call.read()
                if not isinstance(payload, bytes):
                    return  # the stream has ended
                if payload:
                    self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        replica, report = decode(payload, time.time())
        if replica != self.peer:
            raise ReportError(f"{self.address} is {replica}, not {self.peer}")
        if not self.connected:
            self.connected = True
            self._log.info("hearing a replica")
        self._told(replica, report)

    def _channel(self) -> grpc.aio.Channel:
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", _MAX_BYTES),
            ("grpc.enable_http_proxy", 0),
        ]
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address, options=options)
        options.append(("grpc.ssl_target_name_override", self._credentials.server_name))
        return grpc.aio.secure_channel(self.address, self._credentials.channel(), options=options)
