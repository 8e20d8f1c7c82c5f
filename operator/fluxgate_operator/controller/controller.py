"""One replica of the control plane on Kubernetes.

Every replica watches, translates and serves; only the holder of the Lease writes. The parts
are started from the outside in and ended from the inside out, so that the order in which they
may be ended is the order in which they are written here: writers, the Lease, the streams of
the nodes, the loops, the connections to the API server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.collector import release_collector, settle_collector
from fluxgate_operator.controller.endpoint import create_app, serving_health
from fluxgate_operator.controller.no_envoy import validator_for
from fluxgate_operator.controller.parts import Parts
from fluxgate_operator.first_turn import first_complete_turn
from fluxgate_operator.kube.access import ClusterAccess, load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.main_task import MainTask
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.settings import ControllerSettings
from fluxgate_xds.server import XdsServer, XdsServerSettings

_STREAMS_END_SECONDS = 1.0


class Controller:
    """A running controller. :meth:`start`, then :attr:`ready`; :meth:`stop` ends it in order.

    Signals are the caller's. :meth:`finished` raises what brought the controller down. Without
    an API server it goes on trying, and goes on serving what it has.
    """

    def __init__(
        self, settings: ControllerSettings, log: FilteringBoundLogger, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._log = log
        self._environ = environ
        self._main = MainTask("controller")
        self._stopping = False
        self.ready = asyncio.Event()
        self.xds_port = 0
        self.http_port = 0
        self.metrics = ControllerMetrics()
        self._validator = validator_for(settings, environ, log)

    async def start(self) -> None:
        """Start everything; returns when the HTTP endpoint answers and xDS is served.

        Does not wait for the API server. Raises ``KubeConfigError``, ``PortTakenError``,
        ``XdsServerError``.
        """
        settings = self._settings.cluster
        access = await load_access(settings.kubeconfig, settings.context, self._environ)
        await self._main.start(partial(self._run, access))

    async def finished(self) -> None:
        """Return when the controller was stopped; raise what brought it down otherwise."""
        await self._main.finished()

    async def stop(self) -> None:
        """Not ready, then no writes, then no Lease, then no streams, then nothing."""
        self._stopping = True
        await self._main.end()
        release_collector()

    def not_live(self) -> str:
        """Why the process should be started again; an API server that is away is no reason."""
        return "" if self._main.running else "the main loop has ended"

    def not_ready(self) -> str:
        """Why nodes should go to another replica."""
        if self._stopping:
            return "stopping"
        if not self.ready.is_set():
            security = self.parts.security
            if security is not None and not security.certificates.ready.is_set():
                return "there are no certificates yet"
            failure = self.parts.engine.reconciler.failure
            return failure or "the first complete list of the API server is yet to come"
        return ""

    def troubles(self) -> list[str]:
        """What is wrong between this replica and the API server, ready or not."""
        return self.parts.troubles()

    async def _run(self, access: ClusterAccess, started: Callable[[], None]) -> None:
        settings = self._settings
        async with (
            KubeClient(access, observe=self.metrics.api_request) as client,
            serving_health(
                create_app(self, self.metrics), settings.http_address, settings.http_port
            ) as self.http_port,
            asyncio.TaskGroup() as proofs,
            self._serving_xds(client, access, proofs) as self.xds_port,
            asyncio.TaskGroup() as loops,
            asyncio.TaskGroup() as leases,
            asyncio.TaskGroup() as writers,
        ):
            self.parts.start_loops(loops)
            loops.create_task(self._announce(), name="ready")
            self.parts.start_leases(leases)
            self.parts.start_writers(writers)
            started()

    @contextlib.asynccontextmanager
    async def _serving_xds(
        self, client: KubeClient, access: ClusterAccess, proofs: asyncio.TaskGroup
    ) -> AsyncIterator[int]:
        """Nodes may come before there is anything to serve: they wait, and keep what they have."""
        settings = self._settings
        parts = self.parts = Parts(
            settings, client, access, self._validator, self.metrics, self._log
        )
        proofs.create_task(parts.rights.run(), name="rights")
        served = XdsServerSettings(settings.xds_address, settings.xds_port)
        if parts.security is not None:
            parts.security.start(proofs)
            await parts.security.certificates.ready.wait()
            served = parts.security.xds_settings()
        server = XdsServer(
            served,
            parts.engine.cache,
            parts.engine.registry,
            self._log,
            handlers=(parts.replicas.handler,),
        )
        port = await server.start()
        parts.peer_port = server.peer_port or port
        try:
            yield port
        finally:
            await server.stop(_STREAMS_END_SECONDS)

    async def _announce(self) -> None:
        """Ready with the first complete turn."""
        engine = self.parts.engine
        turn = await first_complete_turn(engine, self._log)
        engine.cache.complete()
        settle_collector()
        self.ready.set()
        self._log.info("ready", objects=len(turn.resources), gateways=len(turn.versions))
