"""The composition root of ``fluxgate run``: a folder, one Envoy, no Kubernetes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Gateway
from fluxgate.ports import Propagation
from fluxgate.resources import Object, ObjectRef
from fluxgate.status import ObjectStatus
from fluxgate_operator.collector import collector_paused, release_collector, settle_collector
from fluxgate_operator.engine import Engine
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.envoy.supervisor import EnvoySupervisor
from fluxgate_operator.envoy.validate import EnvoyValidator
from fluxgate_operator.errors import PortTakenError
from fluxgate_operator.health import HealthBook, HealthWatcher, PoolHealth, by_admin, pools_of
from fluxgate_operator.listener_guard import ListenerGuard
from fluxgate_operator.listening import free_port, urls_of, with_http_port
from fluxgate_operator.main_task import MainTask
from fluxgate_operator.own_bootstrap import FLEET, OwnBootstrap
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.plane import EnginePlane, FolderSight
from fluxgate_operator.problem_log import ProblemLog
from fluxgate_operator.problems import FileProblem
from fluxgate_operator.providers.certificate_files import CertificateFileReader
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.settings import StandaloneSettings
from fluxgate_operator.standalone_status import StandaloneStatus
from fluxgate_operator.statedir import StateDir
from fluxgate_operator.status_book import StatusBook
from fluxgate_operator.trial import FolderSupply, Trials
from fluxgate_xds.server import XdsServer, XdsServerSettings

_RECHECK_SECONDS = 1.0


class StandaloneGateway:
    """A running gateway. :meth:`start`, then :attr:`ready`; :meth:`stop` drains and ends it.

    Signals are the caller's. :meth:`finished` raises what brought the gateway down.
    """

    def __init__(
        self, settings: StandaloneSettings, log: FilteringBoundLogger, environ: Mapping[str, str]
    ) -> None:
        self._settings = settings
        self._log = log
        self._state = StateDir(settings.state_dir)
        self._binary = locate_envoy(environ, settings.envoy.path)
        self._http_port = free_port() if settings.http_port == 0 else settings.http_port
        self._bootstrap = OwnBootstrap(settings, self._state, log)
        self._problem_log = ProblemLog(log)
        self._main = MainTask("standalone")
        self._guard = ListenerGuard()
        self.ready = asyncio.Event()
        self._compose()

    def _compose(self) -> None:
        settings = self._settings
        self.validator = EnvoyValidator(
            self._binary, settings.validate_seconds, settings.validations
        )
        self._engine = Engine(
            CachedPipeline(self._choose_and_guard),
            self._loaded,
            self.validator,
            self._log,
            settings.holdoff,
        )
        self.store = self._engine.store
        self.reconciler = self._engine.reconciler
        self.tracker = self._engine.tracker
        self.isolator = self._engine.isolator
        self._registry = self._engine.registry
        self._xds = XdsServer(
            XdsServerSettings(port=settings.xds_port),
            self._engine.cache,
            self._registry,
            self._log,
        )
        self.provider = DirectoryProvider(settings.config_dir, self.store, self._poke, self._adjust)
        self._files = CertificateFileReader(self.store, self.reconciler.poke)
        self._book = StatusBook(self.reconciler, self.tracker)
        self.health = HealthBook()
        self.plane = EnginePlane(
            self._engine, self._statuses, self.health, FolderSight(self.provider)
        )
        self.trials = Trials(
            lambda: self.reconciler.current,
            CachedPipeline(self._choose),
            EnvoyValidator(self._binary, settings.trial_seconds, settings.validations),
            FolderSupply(),
            self._log,
            self._adjust,
        )
        self._supervisor = EnvoySupervisor(
            self._binary,
            replace(settings.envoy, concurrency=self._bootstrap.workers),
            self._state.path,
            self._bootstrap.write,
            self._log,
        )

    async def start(self) -> None:
        """Load the folder and start everything; returns when Envoy has been started.

        Raises ``StateDirError``, :class:`PortTakenError`, ``XdsServerError``, and
        what :meth:`DirectoryProvider.run` raises for the folder.
        """
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._state)
            self._bootstrap.xds_port = await self._xds.start()
            try:
                await self._main.start(self._run)
            except BaseException:
                await self._xds.stop(0)
                raise
            undo.pop_all()

    async def finished(self) -> None:
        """Return when the gateway was stopped; raise what brought it down otherwise."""
        await self._main.finished()

    async def stop(self) -> None:
        """Drain Envoy, then end everything in the order that drops nothing."""
        await self._supervisor.stop()
        await self._main.end()
        await self._xds.stop(1.0)
        self._state.__exit__(None, None, None)
        release_collector()

    async def wait(self, revision: int | None, seconds: float) -> Propagation:
        """Who serves ``revision``, or with None what the folder says at the call; see the tracker."""
        deadline = time.monotonic() + seconds
        if revision is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.provider.settled()
            revision = self.store.revision
        return await self.tracker.wait(revision, max(0.0, deadline - time.monotonic()))

    @property
    def gateways(self) -> Mapping[str, Gateway]:
        """The gateway as it was last translated, for ``explain``."""
        turn = self.reconciler.current
        return turn.built.gateways if turn is not None else {}

    @property
    def http_addresses(self) -> tuple[str, ...]:
        """The URL of every listener, as reached from this machine."""
        gateway = self.gateways.get(FLEET)
        return urls_of(gateway) if gateway is not None else ()

    def pools(self) -> tuple[PoolHealth, ...]:
        """Every pool, and how Envoy finds its targets."""
        return tuple(pools_of(self.gateways, self.health.everywhere()))

    def status(self) -> StandaloneStatus:
        """Everything at this moment."""
        turn = self.reconciler.current
        gateway = self.gateways.get(FLEET)
        objects = self._statuses()
        files = {ref: place for ref in objects if (place := self.provider.file_of(ref))}
        revision = self.store.revision
        return StandaloneStatus(
            revision=revision,
            propagation=self.tracker.report(revision),
            gateway=gateway,
            snapshot=turn.versions.get(FLEET, "") if turn is not None else "",
            addresses=self.http_addresses,
            objects=objects,
            files=files,
            problems=self._problems(),
            nodes=self._registry.nodes(),
            envoy=self._supervisor.status,
            failure=self.reconciler.failure,
        )

    def _statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        rejections = dict(self.isolator.runtime_rejections)
        gateway = self.gateways.get(FLEET)
        if gateway is not None and self._guard.problems:
            rejections[gateway.origin] = "; ".join(sorted(self._guard.problems.values()))
        return self._book.statuses(rejections)

    def _poke(self) -> None:
        self._files.refresh()
        self._problem_log.tell(self._problems())
        self.reconciler.poke()

    def _problems(self) -> tuple[FileProblem, ...]:
        """What is wrong with files, with ports, and with the state folder."""
        found = [*self.provider.problems, *self._bootstrap.problems]
        gateway = self.gateways.get(FLEET)
        if gateway is not None:
            file, line = self.provider.file_of(gateway.origin) or ("", 0)
            found += [
                FileProblem(file, line, 1, reason, str(gateway.origin))
                for reason in self._guard.problems.values()
            ]
        return tuple(sorted(found))

    async def _tell(self) -> None:
        """Say on the log what every turn finds; not inside the turn, which has to be quick."""
        while True:
            turn = self.reconciler.current
            if turn is not None:
                self._problem_log.tell(self._problems())
                self._problem_log.tell_objects(turn.built.statuses, self.provider.file_of)
            await self.reconciler.done.wait()

    async def _run(self, started: Callable[[], None]) -> None:
        async with asyncio.TaskGroup() as group:
            with collector_paused():
                group.create_task(self.provider.run(), name="provider")
                group.create_task(self._files.run(), name="certificate files")
                first = asyncio.create_task(self._engine.first_turn())
                reconciling = group.create_task(self.reconciler.run(), name="reconciler")
                await asyncio.wait((first, reconciling), return_when=asyncio.FIRST_COMPLETED)
                await first
            self._check_first_turn()
            self._bootstrap.write_first()
            self._engine.follow_nodes(group)
            group.create_task(self._watch_health().run(), name="health")
            group.create_task(self._recheck_ports(), name="ports")
            group.create_task(self._tell(), name="problems")
            group.create_task(self._announce(), name="ready")
            supervising = group.create_task(self._supervisor.run(), name="envoy")
            started()
            await supervising

    def _watch_health(self) -> HealthWatcher:
        source = by_admin(self._supervisor.admin)
        return HealthWatcher(self._registry, self.reconciler, source, self.health, self._log)

    def _check_first_turn(self) -> None:
        if self._guard.problems:
            raise PortTakenError(
                "; ".join(sorted(self._guard.problems.values()))
                + "; stop it, or choose another port"
            )

    async def _announce(self) -> None:
        while not self.ready.is_set():
            found = await self.tracker.wait(self.store.revision, 60.0)
            if found.complete:
                settle_collector()
                self.ready.set()

    async def _recheck_ports(self) -> None:
        while True:
            await self.reconciler.done.wait()
            while self._guard.problems:
                await asyncio.sleep(_RECHECK_SECONDS)
                self.reconciler.reconcile()

    async def _loaded(self) -> None:
        await self.provider.loaded()
        self._files.refresh()

    def _adjust(self, obj: Object) -> Object:
        return with_http_port(obj, self._http_port)

    def _choose(self, gateways: Mapping[str, Gateway]) -> Mapping[str, Gateway]:
        """The one gateway this instance serves, under the name its Envoy asks for."""
        wanted = self._settings.gateway
        if wanted is None:
            names = sorted(gateways)
        else:
            names = [name for name in (wanted, wanted.removeprefix("default/")) if name in gateways]
        return {FLEET: gateways[names[0]]} if names else {}

    def _choose_and_guard(self, gateways: Mapping[str, Gateway]) -> Mapping[str, Gateway]:
        return self._guard.admit(self._choose(gateways))
