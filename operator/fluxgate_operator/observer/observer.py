"""A control plane that only looks: it watches, translates and hears the controllers' nodes.

It serves no xDS, holds no Lease and writes no status, so it can run in a pod of its own, in any
number, and be lost without anybody noticing at the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.collector import release_collector, settle_collector
from fluxgate_operator.controller.endpoint import create_app, serving_health
from fluxgate_operator.controller.no_envoy import trial_validator_for, validator_for
from fluxgate_operator.first_turn import first_complete_turn
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.main_task import MainTask
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.observer.parts import ObserverParts
from fluxgate_operator.settings import ControllerSettings


class Observer:
    """A running observer. :meth:`start`, then :attr:`ready`; :meth:`stop` ends it.

    Signals are the caller's. :meth:`finished` raises what brought it down. Without an API server it
    goes on trying, and goes on showing what it has. :attr:`client`, :attr:`access` and :attr:`parts`
    are there once it has been started.
    """

    def __init__(
        self, settings: ControllerSettings, log: FilteringBoundLogger, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._log = log
        self._environ = environ
        self._validator = validator_for(settings, environ, log)
        self._trial_validator = trial_validator_for(settings, environ)
        self._main = MainTask("observer")
        self._stopping = False
        self.ready = asyncio.Event()
        self.http_port = 0
        self.metrics = ControllerMetrics()

    async def start(self) -> None:
        """Start everything; returns when probes are answered.

        Does not wait for the API server. Raises ``KubeConfigError`` and ``PortTakenError``.
        """
        cluster = self._settings.cluster
        self.access = await load_access(cluster.kubeconfig, cluster.context, self._environ)
        await self._main.start(self._run)

    async def finished(self) -> None:
        """Return when it was stopped; raise what brought it down otherwise."""
        await self._main.finished()

    async def stop(self) -> None:
        """Not ready, then nothing."""
        self._stopping = True
        await self._main.end()
        release_collector()

    def not_live(self) -> str:
        """Why the process should be started again; an API server that is away is no reason."""
        return "" if self._main.running else "the main loop has ended"

    def not_ready(self) -> str:
        """Why requests should go to another replica."""
        if self._stopping:
            return "stopping"
        if not self.ready.is_set():
            failure = self.parts.engine.reconciler.failure
            return failure or "the first complete list of the API server is yet to come"
        return ""

    def troubles(self) -> list[str]:
        """What is wrong between this process and the API server, ready or not."""
        return self.parts.troubles()

    async def _run(self, started: Callable[[], None]) -> None:
        settings = self._settings
        async with KubeClient(self.access, observe=self.metrics.api_request) as self.client:
            self.parts = ObserverParts(
                settings,
                self.client,
                self.access,
                self._validator,
                self._trial_validator,
                self.metrics,
                self._log,
            )
            app = create_app(self, self.metrics)
            async with (
                serving_health(app, settings.http_address, settings.http_port) as self.http_port,
                asyncio.TaskGroup() as loops,
            ):
                self.parts.start(loops)
                loops.create_task(self._announce(), name="ready")
                started()

    async def _announce(self) -> None:
        """Ready with the first complete turn."""
        await first_complete_turn(self.parts.engine, self._log)
        settle_collector()
        self.ready.set()
        await self.parts.trials.prepare()
