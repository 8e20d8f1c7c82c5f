"""One kind of the API server's, read by several parts."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.intake import Intake


class Several:
    """Passes every object on to each of its readers, in order."""

    def __init__(self, readers: tuple[Intake, ...]) -> None:
        self._readers = readers

    def put(self, document: Document) -> None:
        """An object is there, new or changed."""
        for reader in self._readers:
            reader.put(document)

    def drop(self, namespace: str, name: str) -> None:
        """An object is gone."""
        for reader in self._readers:
            reader.drop(namespace, name)


def together(*parts: Mapping[KubeType, Intake]) -> dict[KubeType, Intake]:
    """What all parts want to read, each kind once."""
    readers: dict[KubeType, tuple[Intake, ...]] = {}
    for part in parts:
        for kind, reader in part.items():
            readers[kind] = (*readers.get(kind, ()), reader)
    return {kind: each[0] if len(each) == 1 else Several(each) for kind, each in readers.items()}
