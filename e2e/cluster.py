"""What a scenario needs of a cluster, whichever it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Cluster(Protocol):
    """A Kubernetes cluster with Helm, where FluxGate's image can be pulled. Methods block."""

    name: str
    """Which provider this is, for people who read the test's output."""

    @property
    def values(self) -> Mapping[str, object]:
        """What the chart has to be told on this cluster (image and pull policy)."""
        ...

    @property
    def application_image(self) -> str:
        """An image whose ``python3`` runs the applications behind the gateway."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """For a shell in which ``kubectl`` and ``helm`` reach this cluster as its admin."""
        ...

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """Run kubectl as the cluster's admin; raises with what it says on stderr."""
        ...

    def helm(self, *args: str) -> str:
        """Run Helm as the cluster's admin; raises with what it says on stderr."""
        ...

    def reach(self, namespace: str, service: str, port: int) -> AbstractContextManager[str]:
        """The URL at which this machine reaches a Service, while the context lasts."""
        ...

    def kill(self, namespace: str, pod: str) -> None:
        """End a pod as a crash of its node would: no signal to catch, no hooks."""
        ...

    def requests(self) -> list[dict[str, Any]]:
        """What the API server was asked, as audit events; none where it writes no audit log."""
        ...

    def exec(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """What a command in a container prints, as ``kubectl exec``; raises with what it says on stderr."""
        ...

    def log(self, namespace: str, pod: str, container: str) -> str:
        """What a container has written."""
        ...
