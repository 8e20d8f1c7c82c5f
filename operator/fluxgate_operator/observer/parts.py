"""What an observer is made of, and what is joined to what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef
from fluxgate.status import ObjectStatus
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.culprits import Validator
from fluxgate_operator.engine import Engine
from fluxgate_operator.health import HealthBook
from fluxgate_operator.ingress import Ingresses
from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import ENDPOINT_SLICES, OUR_TYPES, SECRETS, SERVICES
from fluxgate_operator.metrics import ControllerMetrics
from fluxgate_operator.metrics_state import ProviderCollector
from fluxgate_operator.observer.rights import needs
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.plane import ClusterSight, EnginePlane
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.replicas import Adopter, PeerCredentials, Replicas, ReplicaSettings
from fluxgate_operator.rights import Rights
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.status_book import StatusBook
from fluxgate_operator.trial import ClusterSupply, Trials


class ObserverParts:
    """The parts of one observer, not running yet.

    Everything that decides what is served is as in a controller (:mod:`fluxgate_operator.controller.parts`):
    equal resources give equal versions, and so the versions that controllers tell of their nodes mean
    turns of ours.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        client: KubeClient,
        access: ClusterAccess,
        validator: Validator,
        trial_validator: Validator,
        metrics: ControllerMetrics,
        log: FilteringBoundLogger,
    ) -> None:
        self.certificates: Certificates | None = None
        if not settings.insecure:
            self.certificates = Certificates(client, settings, _never, log, makes_authority=False)
        self.replicas = Replicas(
            client,
            settings.namespace,
            settings.identity,
            str,  # nobody comes to us
            log,
            ReplicaSettings(duration=settings.lease.duration),
            _credentials(self.certificates),
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
        self._book = StatusBook(self.engine.reconciler, self.engine.tracker)
        self._join_provider(settings, client, access, log)
        metrics.add(ProviderCollector(self.provider.health))
        self.plane = EnginePlane(
            self.engine, self._statuses, self.health, ClusterSight(self.provider), settings.identity
        )
        self.trials = Trials(
            lambda: self.engine.reconciler.current,
            CachedPipeline(exposes=True),
            trial_validator,
            ClusterSupply(client, self.provider),
            log,
        )

    def _join_provider(
        self,
        settings: ControllerSettings,
        client: KubeClient,
        access: ClusterAccess,
        log: FilteringBoundLogger,
    ) -> None:
        cluster = settings.cluster
        self._ingresses: Ingresses | None = None
        if cluster.ingress_class:
            self._ingresses = Ingresses(self.engine.store, cluster.ingress_class, log)
        intakes = self._ingresses.intakes() if self._ingresses is not None else {}
        self.provider = KubernetesProvider(
            client, access, cluster, self.engine.store, self._changed, log, intakes
        )
        read = (*OUR_TYPES, SERVICES, ENDPOINT_SLICES, SECRETS, *intakes)
        self.rights = Rights(client, needs(settings, read), log, cluster.resync_seconds)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start every loop. None of them writes anything to the API server."""
        engine = self.engine
        if self.certificates is not None:
            group.create_task(self.certificates.run(), name="certificates")
        group.create_task(self.rights.run(), name="rights")
        group.create_task(self.provider.run(), name="provider")
        group.create_task(engine.reconciler.run(), name="reconciler")
        group.create_task(self.adopter.run(), name="adopter")
        group.create_task(self.replicas.follow(), name="replicas")
        engine.follow_nodes(group)

    def troubles(self) -> list[str]:
        """What keeps this process from reading or writing what it should, a line each."""
        problems = self.provider.health().problems
        return [*self.rights.missing, *(f"{kind}: {words}" for kind, words in problems.items())]

    def _statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        return self._book.statuses(
            {**self.replicas.rejections(), **self.engine.isolator.runtime_rejections}
        )

    def _changed(self) -> None:
        self._settle()
        self.engine.reconciler.poke()

    def _settle(self) -> None:
        """What depends on other objects of the store, made right before the store is read."""
        revision = self.engine.store.revision
        if self._ingresses is not None:
            self._ingresses.settle()
        if self.engine.store.revision != revision:
            self.provider.settle()

    async def _loaded(self) -> None:
        await self.provider.loaded()
        self._settle()


def _never() -> bool:
    """Nobody here leads."""
    return False


def _credentials(certificates: Certificates | None) -> PeerCredentials | None:
    if certificates is None:
        return None
    return PeerCredentials(
        certificates.channel_credentials, certificates.server_name, certificates.peer_names
    )
