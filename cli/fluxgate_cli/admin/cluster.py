"""``fluxgate admin serve``: the admin API of a cluster, with a control plane that only looks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from structlog.typing import FilteringBoundLogger

from fluxgate_admin.settings import AdminSettings
from fluxgate_cli.admin.environment import ISSUER, settings_from
from fluxgate_cli.admin.options import Given
from fluxgate_cli.admin.process import Place, World, serving_admin
from fluxgate_cli.foreground import first, signals, started, stopped
from fluxgate_operator.failures import first_cause_alone
from fluxgate_operator.identity.cluster_identities import ApiClusterIdentities
from fluxgate_operator.observer import Observer
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources
from fluxgate_operator.settings import ControllerSettings


@dataclass(frozen=True, slots=True)
class AdminOfCluster:
    """Where the API listens, and what the command line says of it."""

    place: Place
    given: Given

    def settings(self, url: str) -> AdminSettings:
        """The settings of an API at ``url``. Raises ``UsageError``."""
        given = self.given
        if not given.issuer and not os.environ.get(ISSUER):
            given = replace(given, issuer=url)
        return settings_from(os.environ, given)


async def serve_cluster(
    settings: ControllerSettings,
    admin: AdminOfCluster,
    log: FilteringBoundLogger,
    on_ready: Callable[[str, int], None],
    tell: Callable[[str], None],
) -> None:
    """Run until a signal. The first one lets requests end, a second one ends at once.

    ``on_ready`` gets the API's URL and the port of the probes when everything has been read once.
    Raises what keeps it from starting, or brought it down.
    """
    began = time.monotonic()
    stop, hurry = asyncio.Event(), asyncio.Event()
    with signals(stop, hurry):
        observer = Observer(settings, log, os.environ)
        tell("connecting to the API server")
        if not await started(observer, stop):
            return
        try:
            async with _serving(settings, admin, observer, log) as url:
                await first(observer.ready.wait(), stop.wait(), observer.finished())
                if observer.ready.is_set():
                    tell(f"everything read after {time.monotonic() - began:.2f} s")
                    on_ready(url, observer.http_port)
                    await first(stop.wait(), observer.finished())
                if stop.is_set():
                    tell("stopping: requests may end; a second signal ends at once")
        finally:
            await stopped(observer, hurry)


@contextlib.asynccontextmanager
async def _serving(
    settings: ControllerSettings,
    admin: AdminOfCluster,
    observer: Observer,
    log: FilteringBoundLogger,
) -> AsyncIterator[str]:
    parts = observer.parts
    namespaces = settings.cluster.namespaces
    identities = ApiClusterIdentities(observer.client)
    with first_cause_alone():
        async with KubernetesResources(observer.access, log, namespaces=namespaces) as resources:
            world = World(parts.plane, parts.trials, resources, identities, tuple(namespaces))
            async with serving_admin(admin.place, admin.settings, world, log) as serving:
                yield serving.url
