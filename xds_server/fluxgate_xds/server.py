"""The gRPC server around the services: address, TLS, limits, health, reflection."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog
from envoy.service.status.v3 import csds_pb2_grpc
from grpc_health.v1 import _async, health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from structlog.typing import FilteringBoundLogger

from fluxgate.errors import FluxGateError
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.credentials import TLSFiles, TLSFilesError, server_credentials
from fluxgate_xds.csds import CSDS, ClientStatusService
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.service import ADS, AdsService
from fluxgate_xds.tokens import TokenAuthority


class XdsServerError(FluxGateError):
    """The xDS server cannot be started as configured."""


@dataclass(frozen=True, slots=True)
class XdsServerSettings:
    """Where and how to serve.

    ``address`` is an IP address, ``localhost`` or ``unix:/path`` (then ``port`` is
    not used); port 0 picks a free one. Without ``tls`` only loopback and unix
    sockets are allowed. With ``tokens`` nodes present a ServiceAccount's token on ``port``,
    where no client certificate is asked for; those who have one use ``peer_port``
    (None: nobody). Sizes in bytes, times in seconds.
    """

    address: str = "127.0.0.1"
    port: int = 18000
    tls: TLSFiles | None = None
    max_message_bytes: int = 64 * 1024 * 1024
    keepalive_time: float = 30.0
    keepalive_timeout: float = 10.0
    tokens: TokenAuthority | None = None
    peer_port: int | None = None
    status_readers: tuple[str, ...] = ()
    """Subject alternative names of clients that may read every node's status (CSDS)."""

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        if self.address.startswith("unix:") or self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False

    @property
    def target(self) -> str:
        """The address in gRPC's notation."""
        return self.target_of(self.port)

    def target_of(self, port: int) -> str:
        """The same address with another port."""
        if self.address.startswith("unix:"):
            return self.address
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{port}"


class XdsServer:
    """Serves ADS, CSDS, health and reflection until stopped. To be made inside a running loop.

    ``handlers`` are further services; they authorise their callers themselves.
    """

    def __init__(
        self,
        settings: XdsServerSettings,
        cache: SnapshotCache,
        registry: NodeRegistry,
        log: FilteringBoundLogger | None = None,
        handlers: Sequence[grpc.GenericRpcHandler[Any, Any]] = (),
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._handlers = tuple(handlers)
        mutual_tls = settings.tls is not None
        self._ads = AdsService(
            cache,
            registry,
            mutual_tls=mutual_tls,
            clock=registry.clock,
            tokens=settings.tokens,
            log=log if log is not None else structlog.get_logger("fluxgate.xds"),
        )
        self._csds = ClientStatusService(
            cache, registry, mutual_tls=mutual_tls, readers=settings.status_readers
        )
        self._health = _async.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.peer_port = 0
        """The bound port for clients with certificates; 0 when there is none apart."""
        self._announcing: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Bind and serve; returns the bound port. Raises :class:`XdsServerError`."""
        server = grpc.aio.server(options=self._options())
        server.add_generic_rpc_handlers((self._ads.handler(), *self._handlers))
        csds_pb2_grpc.add_ClientStatusDiscoveryServiceServicer_to_server(self._csds, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (ADS, CSDS, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        port = self._bind(server)
        await self._health.set(health.OVERALL_HEALTH, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._health.set(ADS, health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        self._server = server
        self._announcing = asyncio.create_task(self._announce())
        return port

    async def stop(self, grace: float = 5.0) -> None:
        """End the streams, then the server; waits at most ``grace`` seconds for calls to end."""
        if self._server is None:
            return
        if self._announcing is not None:
            self._announcing.cancel()
        await self._health.enter_graceful_shutdown()
        self._ads.close()
        await self._server.stop(grace)
        self._server = None

    async def _announce(self) -> None:
        """Healthy means: there is something to serve."""
        await self._cache.filled()
        await self._health.set(health.OVERALL_HEALTH, health_pb2.HealthCheckResponse.SERVING)
        await self._health.set(ADS, health_pb2.HealthCheckResponse.SERVING)

    def _bind(self, server: grpc.aio.Server) -> int:
        settings = self._settings
        if settings.tls is None and not settings.local:
            raise XdsServerError(
                f"xDS on {settings.address} needs TLS: without certificate files it is served "
                "on loopback or a unix socket only"
            )
        try:
            if settings.tls is None:
                return server.add_insecure_port(settings.target)
            if settings.tokens is None:
                return server.add_secure_port(settings.target, server_credentials(settings.tls))
            if settings.peer_port is not None:
                self.peer_port = server.add_secure_port(
                    settings.target_of(settings.peer_port), server_credentials(settings.tls)
                )
            credentials = server_credentials(settings.tls, client_certificates=False)
            return server.add_secure_port(settings.target, credentials)
        except (OSError, RuntimeError, TLSFilesError) as error:
            raise XdsServerError(f"xDS cannot be served on {settings.target}: {error}") from error

    def _options(self) -> list[tuple[str, int]]:
        settings = self._settings
        return [
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.keepalive_time_ms", int(settings.keepalive_time * 1000)),
            ("grpc.keepalive_timeout_ms", int(settings.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
            ("grpc.so_reuseport", 0),
        ]
