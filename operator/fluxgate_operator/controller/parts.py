"""What a controller is made of, and what is joined to what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef, Resources
from fluxgate.status import ObjectStatus
from fluxgate.translator import gateway_key
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.controller.intakes import together
from fluxgate_operator.controller.lag import follow_propagation
from fluxgate_operator.controller.security import Security
from fluxgate_operator.culprits import Validator
from fluxgate_operator.election import LeaseElection
from fluxgate_operator.engine import Engine
from fluxgate_operator.exposure import ExposedStatuses, Exposures
from fluxgate_operator.health import HealthBook, HealthStatuses, HealthWatcher, by_listener
from fluxgate_operator.health.book import NodeKey
from fluxgate_operator.health.readings import Ailing
from fluxgate_operator.ingress import Ingresses, IngressReporter
from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import ENDPOINT_SLICES, OUR_TYPES, SECRETS, SERVICES
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.metrics_state import ProviderCollector, StateCollector, Totals
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.replicas import Adopter, LocalReport, Replicas, ReplicaSettings
from fluxgate_operator.rights import Rights, needs
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarTrust
from fluxgate_operator.status_book import StatusBook
from fluxgate_operator.statuses import Outlook, StatusWriter

_LINGER_SECONDS = 10.0
"""How long the nodes of a replica that ended may take to come to another; Envoy tries every 2 s."""


class Parts:
    """The parts of one controller, not running yet.

    ``peer_port``, where other replicas find this one, is set once it is bound.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        client: KubeClient,
        access: ClusterAccess,
        validator: Validator,
        metrics: ControllerMetrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self.peer_port = 0
        self.election = LeaseElection(
            client, settings.namespace, settings.identity, settings.lease, log
        )
        self.security: Security | None = None
        if not settings.insecure:
            self.security = Security(
                settings, client, self._leading, self._world, self._turned, log, self._known
            )
        self.replicas = Replicas(
            client,
            settings.namespace,
            settings.identity,
            self._address,
            log,
            ReplicaSettings(
                duration=settings.lease.duration, pod_uid=settings.pod_uid, linger=_LINGER_SECONDS
            ),
            self.security.peer_credentials if self.security is not None else None,
        )
        self.engine = Engine(
            CachedPipeline(exposes=True),
            self._loaded,
            validator,
            log,
            settings.holdoff,
            metrics.turn,
            self.replicas,
        )
        self.adopter = Adopter(self.replicas, self.engine.reconciler, log)
        self.health = HealthBook(self.replicas.health)
        self._join_ways_in(client, log)
        self._join_provider(client, access, log)
        metrics.add(ProviderCollector(self.provider.health))
        self.trust: SidecarTrust | None = None
        if self.security is not None:
            certificates = self.security.certificates
            self.trust = SidecarTrust(self.engine.registry, lambda: certificates.ca_pem, log)
            metrics.add(self.trust)
        metrics.add(StateCollector(self.engine, self._leading, self._totals()))

    def _join_ways_in(self, client: KubeClient, log: FilteringBoundLogger) -> None:
        """How fleets are reached from outside, and Ingresses of others that they serve."""
        cluster, engine = self._settings.cluster, self.engine
        self.exposures = Exposures(
            client,
            engine.reconciler,
            self._leading,
            log,
            namespaces=cluster.namespaces,
            own_class=cluster.ingress_class,
        )
        self.ingresses: Ingresses | None = None
        self.reporter: IngressReporter | None = None
        if cluster.ingress_class:
            self.ingresses = Ingresses(engine.store, cluster.ingress_class, log)
            self.reporter = IngressReporter(
                client,
                self.ingresses,
                engine.reconciler,
                self.exposures,
                self._leading,
                log,
                instance=self._settings.identity,
            )

    def _join_provider(
        self, client: KubeClient, access: ClusterAccess, log: FilteringBoundLogger
    ) -> None:
        """What is read, and what is written about it."""
        engine = self.engine
        ingresses = self.ingresses.intakes() if self.ingresses is not None else {}
        self.provider = KubernetesProvider(
            client,
            access,
            self._settings.cluster,
            engine.store,
            self._changed,
            log,
            together(self.exposures.intakes(), ingresses),
        )
        read = (*OUR_TYPES, SERVICES, ENDPOINT_SLICES, SECRETS, *ingresses)
        settings = self._settings
        self.rights = Rights(client, needs(settings, read), log, settings.cluster.resync_seconds)
        self._book = StatusBook(engine.reconciler, engine.tracker)
        self._exposed = ExposedStatuses()
        outlook = Outlook(self._statuses, self._leading, self._extras, self._behind)
        self.writer = StatusWriter(client, self.provider, outlook, log)
        self._health_statuses = HealthStatuses(self.health, self.writer.look_at)
        self._health_watcher = HealthWatcher(
            engine.registry, engine.reconciler, by_listener, self.health, log
        )

    def start_loops(self, group: asyncio.TaskGroup) -> None:
        """What every replica does."""
        engine = self.engine
        group.create_task(self.provider.run(), name="provider")
        group.create_task(engine.reconciler.run(), name="reconciler")
        group.create_task(self.adopter.run(), name="adopter")
        group.create_task(follow_propagation(engine, self._metrics.propagated), name="lag")
        engine.follow_nodes(group)
        group.create_task(self._health_watcher.run(), name="health")
        group.create_task(self._health_statuses.run(), name="health statuses")
        group.create_task(self._hear_of_health(), name="health elsewhere")
        if self.trust is not None:
            group.create_task(self.trust.run(), name="trust")

    def troubles(self) -> list[str]:
        """What keeps this replica from reading or writing what it should, a line each."""
        problems = self.provider.health().problems
        return [*self.rights.missing, *(f"{kind}: {words}" for kind, words in problems.items())]

    def start_leases(self, group: asyncio.TaskGroup) -> None:
        """What tells other replicas of this one; ended, it tells them that it is gone."""
        engine = self.engine
        local = LocalReport(engine.reconciler, engine.tracker, engine.isolator, self.health)
        group.create_task(self.replicas.run(local), name="replicas")
        group.create_task(self.election.run(), name="lease")

    def start_writers(self, group: asyncio.TaskGroup) -> None:
        """What only the leader does; each asks right before it writes."""
        group.create_task(self.writer.run(), name="statuses")
        group.create_task(self._poke_writers(), name="changes")
        group.create_task(self.exposures.run(), name="exposure")
        if self.reporter is not None:
            group.create_task(self.reporter.run(), name="ingresses")
        if self.security is not None:
            group.create_task(self._publish(self.security.certificates), name="publishing")

    async def _hear_of_health(self) -> None:
        """What another replica hears of its nodes is news of the book, too."""
        before: Mapping[NodeKey, Ailing] = {}
        while True:
            changed = self.replicas.changed.subscribe()
            now = self.replicas.health()
            if now != before:
                before = now
                self.health.changed.notify()
            await changed

    async def _publish(self, certificates: Certificates) -> None:
        """Who has just become the leader publishes the authorities: new nodes wait for them."""
        while True:
            changed = self.election.changed.subscribe()
            certificates.poke()
            await changed

    async def _poke_writers(self) -> None:
        """Whatever may change a status wakes who writes it."""
        signals: tuple[Signal, ...] = (
            self.engine.reconciler.done,
            self.engine.tracker.changed,
            self.engine.isolator.changed,
            self.election.changed,
            self.replicas.changed,
            self.exposures.changed,
        )
        while True:
            waiting = [signal.subscribe() for signal in signals]
            self.writer.poke()
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()

    def _statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        rejections = {**self.replicas.rejections(), **self.engine.isolator.runtime_rejections}
        return self._exposed.add(self._book.statuses(rejections), self.exposures.states())

    def _behind(self) -> bool:
        """Whether a node has yet to take the newest turn, or none has come so far."""
        reconciler, tracker = self.engine.reconciler, self.engine.tracker
        turn, nodes = reconciler.current, tracker.counted_nodes()
        if turn is None or not nodes:
            return True
        return any(
            tracker.serving_sequence(node)
            < reconciler.latest_sequence(node.gateway, turn.versions.get(node.gateway, ""))
            for node in nodes
        )

    def _extras(self, ref: ObjectRef) -> Mapping[str, object]:
        """An Upstream's health; a GatewayConfig's nodes, and where its fleet is reached if known."""
        if ref.kind == "Upstream":
            return self._health_statuses.extras(ref)
        if ref.kind != "GatewayConfig":
            return {}
        nodes = {"nodes": asdict(self.engine.tracker.fleet(gateway_key(ref)))}
        found = self.exposures.addresses(ref)
        if found is None:
            return nodes
        return {**nodes, "addresses": [asdict(each) for each in found] or None}

    def _changed(self) -> None:
        self._settle()
        self.engine.reconciler.poke()

    def _settle(self) -> None:
        """What depends on other objects of the store, made right before the store is read."""
        revision = self.engine.store.revision
        if self.ingresses is not None:
            self.ingresses.settle()
        if self.engine.store.revision != revision:
            self.provider.settle()

    def _leading(self) -> bool:
        return self.election.leading

    def _totals(self) -> dict[tuple[str, str, str], Totals]:
        counters = self.writer.counters
        return {
            ("status_writes", "result", "Statuses, by what became of writing them."): lambda: {
                "written": counters.written,
                "conflict": counters.conflicts,
                "failed": counters.failed,
            }
        }

    def _address(self) -> str:
        host = self._settings.advertise
        return f"[{host}]:{self.peer_port}" if ":" in host else f"{host}:{self.peer_port}"

    async def _turned(self) -> None:
        await self.engine.reconciler.done.wait()

    def _world(self) -> Resources | None:
        turn = self.engine.reconciler.current
        return turn.resources if turn is not None else None

    async def _known(self) -> None:
        while self._world() is None:
            await self.engine.reconciler.done.wait()

    async def _loaded(self) -> None:
        await self.provider.loaded()
        self._settle()
