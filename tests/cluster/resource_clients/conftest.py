"""Clients of the API server's objects, directly and through a proxy that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources
from fluxgate_operator.resource_clients.kubernetes_watch import WatchSettings

SILENCE = 3.0
"""Seconds after which a watch under test takes its stream for dead."""


@pytest.fixture
async def direct(control_plane: ControlPlane, namespace: str) -> AsyncIterator[KubernetesResources]:
    """A client of the test's namespace."""
    access = await load_access(control_plane.kubeconfig, None, {})
    async with KubernetesResources(access, structlog.get_logger(), namespaces=[namespace]) as found:
        yield found


@pytest.fixture
async def shaky(fault_proxy: FaultProxy, namespace: str) -> AsyncIterator[KubernetesResources]:
    """The same through the proxy; it gives up a request after five seconds, and waits ten for a busy server."""
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubernetesResources(
        access,
        structlog.get_logger(),
        namespaces=[namespace],
        seconds=5.0,
        patience=10.0,
        watch=WatchSettings(lifetime=60, silence=SILENCE, longest_pause=0.5),
    ) as found:
        yield found
