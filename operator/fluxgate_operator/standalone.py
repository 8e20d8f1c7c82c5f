"""The composition root of ``fluxgate run``: a folder, one Envoy, no Kubernetes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf.json_format import MessageToDict
from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Gateway
from fluxgate.ports import NodeState
from fluxgate.resources import Object, ObjectRef, ResourceStore
from fluxgate.status import ObjectStatus
from fluxgate.xds.probe import build_probe_listener
from fluxgate.xds.stats import stats_matcher
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, render_bootstrap
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.envoy.supervisor import EnvoyStatus, EnvoySupervisor
from fluxgate_operator.envoy.validate import EnvoyValidator
from fluxgate_operator.errors import PortTakenError, StateDirError
from fluxgate_operator.isolation import Isolator
from fluxgate_operator.listener_guard import ListenerGuard
from fluxgate_operator.listening import free_port, why_not, with_http_port
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.problems import FileProblem
from fluxgate_operator.propagation import Propagation, PropagationTracker
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.settings import StandaloneSettings
from fluxgate_operator.statedir import StateDir
from fluxgate_operator.status_book import StatusBook
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerSettings

FLEET = "standalone"
"""``node.cluster`` of the one Envoy: it serves whichever GatewayConfig was chosen."""

_BOOTSTRAP = "envoy-bootstrap.json"
_RECHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StandaloneStatus:
    """Everything at one moment. ``failure`` is a bug of ours, empty in good order."""

    revision: int
    propagation: Propagation
    gateway: Gateway | None
    snapshot: str
    addresses: tuple[str, ...]
    objects: Mapping[ObjectRef, ObjectStatus]
    files: Mapping[ObjectRef, tuple[str, int]]
    problems: tuple[FileProblem, ...]
    nodes: tuple[NodeState, ...]
    envoy: EnvoyStatus
    failure: str = ""


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
        self._probe_port = 0
        self._xds_port = 0
        self._workers = settings.envoy.concurrency or os.cpu_count() or 1
        self._main: asyncio.Task[None] | None = None
        self._guard = ListenerGuard()
        self.ready = asyncio.Event()
        self._compose()

    def _compose(self) -> None:
        settings = self._settings
        self.store = ResourceStore()
        self._cache = SnapshotCache()
        self._registry = NodeRegistry()
        self._xds = XdsServer(
            XdsServerSettings(port=settings.xds_port), self._cache, self._registry
        )
        self.provider = DirectoryProvider(settings.config_dir, self.store, self._poke, self._adjust)
        self.reconciler = Reconciler(
            self.store,
            CachedPipeline(self._choose_and_guard),
            self._cache,
            self.provider.loaded,
            self._log,
            settings.holdoff,
        )
        self.tracker = PropagationTracker(self._registry, self.reconciler, self._log)
        self.validator = EnvoyValidator(
            self._binary, settings.validate_seconds, settings.validations
        )
        self.isolator = Isolator(
            self._registry,
            self.reconciler,
            self.tracker,
            CachedPipeline(self._choose),
            self.validator,
            self._log,
        )
        self._book = StatusBook(self.reconciler, self.tracker)
        self._supervisor = EnvoySupervisor(
            self._binary,
            replace(settings.envoy, concurrency=self._workers),
            self._state.path,
            self._write_bootstrap,
            self._log,
        )

    async def start(self) -> None:
        """Load the folder and start everything; returns when Envoy has been started.

        Raises :class:`StateDirError`, :class:`PortTakenError`, ``XdsServerError``, and
        what :meth:`DirectoryProvider.run` raises for the folder.
        """
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._state)
            self._xds_port = await self._xds.start()
            started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._main = asyncio.create_task(self._run(started), name="standalone")
            self._main.add_done_callback(lambda _: started.done() or started.cancel())
            try:
                await started
            except BaseException:
                await self._end_main()
                await self._xds.stop(0)
                raise
            undo.pop_all()

    async def finished(self) -> None:
        """Return when the gateway was stopped; raise what brought it down otherwise."""
        if self._main is not None:
            await asyncio.shield(self._main)

    async def stop(self) -> None:
        """Drain Envoy, then end everything in the order that drops nothing."""
        await self._supervisor.stop()
        await self._end_main()
        await self._xds.stop(1.0)
        self._state.__exit__(None, None, None)

    async def wait(self, revision: int | None, seconds: float) -> Propagation:
        """Who serves ``revision``, or with None what the folder says now; see the tracker."""
        return await self.tracker.wait(
            self.store.revision if revision is None else revision, seconds
        )

    @property
    def gateways(self) -> Mapping[str, Gateway]:
        """The gateway as it was last translated, for ``explain``."""
        turn = self.reconciler.current
        return turn.built.gateways if turn is not None else {}

    @property
    def http_addresses(self) -> tuple[str, ...]:
        """The URL of every listener, as reached from this machine."""
        gateway = self.gateways.get(FLEET)
        listeners = gateway.listeners if gateway is not None else ()
        return tuple(
            dict.fromkeys(_url(each.address, each.port, each.tls is not None) for each in listeners)
        )

    def status(self) -> StandaloneStatus:
        """Everything at this moment."""
        turn = self.reconciler.current
        rejections = dict(self.isolator.runtime_rejections)
        gateway = self.gateways.get(FLEET)
        if gateway is not None and self._guard.problems:
            rejections[gateway.origin] = "; ".join(sorted(self._guard.problems.values()))
        objects = self._book.statuses(rejections)
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
            problems=self.provider.problems,
            nodes=self._registry.nodes(),
            envoy=self._supervisor.status,
            failure=self.reconciler.failure,
        )

    def _poke(self) -> None:
        for problem in self.provider.problems:
            if problem not in self._told:
                self._log.error("a file has a problem", place=str(problem))
        self._told = set(self.provider.problems)
        self.reconciler.poke()

    _told: set[FileProblem] = set()  # noqa: RUF012 - replaced, never changed

    async def _run(self, started: asyncio.Future[None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.provider.run(), name="provider")
                first = asyncio.create_task(self._first_turn())
                reconciling = group.create_task(self.reconciler.run(), name="reconciler")
                await asyncio.wait((first, reconciling), return_when=asyncio.FIRST_COMPLETED)
                await first
                self._check_first_turn()
                self._write_bootstrap(first=True)
                group.create_task(self.tracker.run(), name="tracker")
                group.create_task(self.isolator.run(), name="isolator")
                group.create_task(self._recheck_ports(), name="ports")
                group.create_task(self._announce(), name="ready")
                supervising = group.create_task(self._supervisor.run(), name="envoy")
                started.set_result(None)
                await supervising
        except BaseExceptionGroup as failures:
            # One cause, told plainly; a cancelled start shows its own error the same way.
            cause = failures.exceptions[0]
            if started.done():
                raise cause from None
            started.set_exception(cause)
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _first_turn(self) -> None:
        while self.reconciler.current is None and not self.reconciler.failure:
            await self.reconciler.done.wait()

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
                # What was loaded lives as long as we do: the collector need not look at it again.
                gc.collect()
                gc.freeze()
                self.ready.set()

    async def _recheck_ports(self) -> None:
        while True:
            await self.reconciler.done.wait()
            while self._guard.problems:
                await asyncio.sleep(_RECHECK_SECONDS)
                self.reconciler.reconcile()

    async def _end_main(self) -> None:
        main = self._main
        if main is None:
            return
        main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(main, return_exceptions=True)

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

    def _write_bootstrap(self, *, first: bool = False) -> Path:
        """A bootstrap for the next start; the last one serves when the disk is full by then."""
        if not self._probe_port or why_not("127.0.0.1", self._probe_port):
            self._probe_port = free_port()
        try:
            return self._state.write(_BOOTSTRAP, render_bootstrap(self._bootstrap_options()))
        except StateDirError as error:
            path = self._state.path / _BOOTSTRAP
            if first or not path.exists():
                raise
            self._log.warning("starting envoy with the last bootstrap", error=str(error))
            return path

    def _bootstrap_options(self) -> BootstrapOptions:
        envoy = self._settings.envoy
        probe = ("127.0.0.1", self._probe_port)
        admin = self._state.path / "envoy-admin.sock"
        return BootstrapOptions(
            node_id=self._settings.node_id,
            gateway=FLEET,
            xds_host="127.0.0.1",
            xds_port=self._xds_port,
            admin=admin if envoy.admin_port is None else ("127.0.0.1", envoy.admin_port),
            concurrency=self._workers,
            probe=probe,
            probe_listener=MessageToDict(build_probe_listener(*probe)),
            stats_matcher=MessageToDict(stats_matcher()),
            max_connections=envoy.max_connections,
            max_heap_bytes=envoy.max_heap_bytes,
        )


def _url(address: str, port: int, tls: bool) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(address, address)  # noqa: S104 - compared
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{'https' if tls else 'http'}://{host}:{port}"
