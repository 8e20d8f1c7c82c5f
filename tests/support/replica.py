"""One replica of the control plane in process: everything but watching and writing.

Real translator, xDS server and exchange; nodes are what the test puts into the registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import yaml
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.status import Condition, ConditionType
from fluxgate_operator.culprits import Validator
from fluxgate_operator.envoy.validate import Validation
from fluxgate_operator.isolation import Isolator
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.propagation import PropagationTracker
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.replicas import (
    Adopter,
    LocalReport,
    PeerCredentials,
    Replicas,
    ReplicaSettings,
)
from fluxgate_operator.status_book import StatusBook
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeHandle, NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerSettings

QUICK = ReplicaSettings(duration=2, coalesce=0.01, heartbeat=0.3, backoff=0.05, backoff_limit=0.2)

WORLD = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {name: main}
spec: {listeners: [{name: http, port: 8080}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {name: up}
spec: {targets: [{host: 127.0.0.1, port: 1}]}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {name: a}
spec:
  matches: [{path: {type: Prefix, value: /a}}]
  backends: [{kind: Upstream, name: up}]
"""


class _NoValidator:
    """These tests reject nothing by themselves."""

    async def validate(self, bootstrap: bootstrap_v3.Bootstrap) -> Validation:
        raise AssertionError(f"nothing was rejected, yet node {bootstrap.node.id} is validated")


class Replica:
    """See the module. ``port`` is known after the start."""

    def __init__(
        self,
        kube: KubeClient,
        namespace: str,
        identity: str,
        *,
        validator: Validator | None = None,
        server: XdsServerSettings | None = None,
        credentials: PeerCredentials | None = None,
        settings: ReplicaSettings = QUICK,
    ) -> None:
        log = structlog.get_logger()
        self.identity, self.port = identity, 0
        self.store, self.registry, cache = ResourceStore(), NodeRegistry(), SnapshotCache()
        self.replicas = Replicas(
            kube,
            namespace,
            identity,
            lambda: f"127.0.0.1:{self.port}",
            log,
            settings,
            credentials,
        )
        self.server = XdsServer(
            server or XdsServerSettings(port=0),
            cache,
            self.registry,
            handlers=(self.replicas.handler,),
        )
        self.reconciler = Reconciler(self.store, CachedPipeline(), cache, _at_once, log)
        self.tracker = PropagationTracker(
            self.registry, self.reconciler, log, remotes=self.replicas
        )
        self.isolator = Isolator(self.registry, self.reconciler, validator or _NoValidator(), log)
        self.adopter = Adopter(self.replicas, self.reconciler, log)
        self.book = StatusBook(self.reconciler, self.tracker)
        self._exchange: asyncio.Task[None] | None = None

    def apply(self, text: str) -> None:
        """Create or replace objects."""
        for document in yaml.safe_load_all(text):
            self.store.upsert(parse_object(document))
        self.reconciler.poke()

    def version(self) -> str:
        """What this replica publishes for the gateway ``main``."""
        turn = self.reconciler.current
        return turn.versions.get("main", "") if turn is not None else ""

    def node(self, name: str, snapshot: str = "") -> NodeHandle:
        """A node connects here, with what it has acknowledged."""
        handle = self.registry.connect("main", name, "envoy", {})
        handle.update({}, snapshot)
        return handle

    def programmed(self, kind: str = "Route", name: str = "a") -> Condition:
        """The Programmed condition of an object."""
        status = self.book.statuses({})[ObjectRef(kind, "default", name)]
        return next(each for each in status.conditions if each.type is ConditionType.PROGRAMMED)

    async def run(self) -> None:
        """Serve and take part, until cancelled."""
        loops = (self.reconciler.run(), self.tracker.run(), self.isolator.run(), self.adopter.run())
        tasks = [asyncio.create_task(each) for each in loops]
        tasks.append(
            asyncio.create_task(
                self.replicas.run(LocalReport(self.reconciler, self.tracker, self.isolator))
            )
        )
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _at_once() -> None:
    return None


@asynccontextmanager
async def serving(replica: Replica) -> AsyncIterator[Replica]:
    """The replica at work; left gracefully."""
    replica.port = await replica.server.start()
    task = asyncio.create_task(replica.run())
    try:
        yield replica
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await replica.server.stop(1.0)
