"""A control plane that only looks: it watches, translates and hears the controllers' nodes.

It serves no xDS, holds no Lease and writes no status, so it can run in a pod of its own, in any
number, and be lost without anybody noticing at the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.collector import collector_paused, release_collector, settle_collector
from fluxgate_operator.controller.endpoint import create_app, serving_health
from fluxgate_operator.controller.no_envoy import trial_validator_for, validator_for
from fluxgate_operator.failures import first_cause
from fluxgate_operator.kube.access import ClusterAccess, load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.observer.parts import ObserverParts
from fluxgate_operator.settings import ControllerSettings

_STILL_WAITING_SECONDS = 10.0


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
        self._main: asyncio.Task[None] | None = None
        self._stopping = False
        self._began = time.monotonic()
        self.ready = asyncio.Event()
        self.http_port = 0
        self.metrics = ControllerMetrics()

    async def start(self) -> None:
        """Start everything; returns when probes are answered.

        Does not wait for the API server. Raises ``KubeConfigError`` and ``PortTakenError``.
        """
        cluster = self._settings.cluster
        self.access = await load_access(cluster.kubeconfig, cluster.context, self._environ)
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._run(self.access, started), name="observer")
        self._main.add_done_callback(lambda _: started.done() or started.cancel())
        try:
            await started
        except BaseException:
            await self._end_main()
            raise

    async def finished(self) -> None:
        """Return when it was stopped; raise what brought it down otherwise."""
        if self._main is not None:
            await asyncio.shield(self._main)

    async def stop(self) -> None:
        """Not ready, then nothing."""
        self._stopping = True
        await self._end_main()
        release_collector()

    def not_live(self) -> str:
        """Why the process should be started again; an API server that is away is no reason."""
        if self._main is None or self._main.done():
            return "the main loop has ended"
        return ""

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

    async def _run(self, access: ClusterAccess, started: asyncio.Future[None]) -> None:
        settings = self._settings
        try:
            async with KubeClient(access, observe=self.metrics.api_request) as self.client:
                self.parts = ObserverParts(
                    settings,
                    self.client,
                    access,
                    self._validator,
                    self._trial_validator,
                    self.metrics,
                    self._log,
                )
                app = create_app(self, self.metrics)
                async with (
                    serving_health(
                        app, settings.http_address, settings.http_port
                    ) as self.http_port,
                    asyncio.TaskGroup() as loops,
                ):
                    self.parts.start(loops)
                    loops.create_task(self._announce(), name="ready")
                    started.set_result(None)
        except BaseExceptionGroup as failures:
            cause = first_cause(failures)
            if started.done():
                raise cause from None
            started.set_exception(cause)
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _announce(self) -> None:
        """Ready with the first turn; patient, and telling, until there is one."""
        engine = self.parts.engine
        first = asyncio.create_task(engine.first_turn())
        try:
            with collector_paused():
                await asyncio.wait((first,), timeout=_STILL_WAITING_SECONDS)
            while not first.done():
                self._log.warning(
                    "still waiting for the first complete list of the API server",
                    waited=f"{time.monotonic() - self._began:.0f} s",
                )
                await asyncio.wait((first,), timeout=_STILL_WAITING_SECONDS)
        finally:
            first.cancel()
        while engine.reconciler.current is None:
            await engine.reconciler.done.wait()
        settle_collector()
        self.ready.set()
        await self.parts.trials.prepare()

    async def _end_main(self) -> None:
        main = self._main
        if main is None:
            return
        main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(main, return_exceptions=True)
