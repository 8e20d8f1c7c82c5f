"""One kind of the API server's, read by several parts."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.intake import Intake


def together(*parts: Mapping[KubeType, Intake]) -> dict[KubeType, list[Intake]]:
    """What all parts want to read, each kind once, with its readers in order."""
    readers: dict[KubeType, list[Intake]] = {}
    for part in parts:
        for kind, reader in part.items():
            readers.setdefault(kind, []).append(reader)
    return readers
