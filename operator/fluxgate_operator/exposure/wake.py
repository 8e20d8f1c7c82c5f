"""What wakes the loop of exposures: our own objects, and the classes that annotations go by."""

from __future__ import annotations

import asyncio

from fluxgate_operator.exposure.marks import EXPOSURE
from fluxgate_operator.kube.client import Document


class Wake:
    """An intake of Services or Ingresses: sets ``woken`` when one of ours may have changed."""

    def __init__(self, woken: asyncio.Event) -> None:
        self._woken = woken
        self._ours: set[tuple[str, str]] = set()

    def put(self, document: Document) -> None:
        """An object is there, new or changed."""
        meta = document["metadata"]
        name = meta["namespace"], meta["name"]
        if EXPOSURE in (meta.get("labels") or {}):
            self._ours.add(name)
            self._woken.set()
        elif name in self._ours:
            self._ours.discard(name)
            self._woken.set()

    def drop(self, namespace: str, name: str) -> None:
        """An object is gone."""
        if (namespace, name) in self._ours:
            self._ours.discard((namespace, name))
            self._woken.set()


class Controllers:
    """An intake of IngressClasses: the ``spec.controller`` of each by name."""

    def __init__(self, woken: asyncio.Event) -> None:
        self.by_class: dict[str, str] = {}
        self._woken = woken

    def put(self, document: Document) -> None:
        """An IngressClass is there, new or changed."""
        name = document["metadata"]["name"]
        controller = (document.get("spec") or {}).get("controller", "")
        if self.by_class.get(name) != controller:
            self.by_class[name] = controller
            self._woken.set()

    def drop(self, namespace: str, name: str) -> None:  # noqa: ARG002 - classes have no namespace
        """An IngressClass is gone."""
        if self.by_class.pop(name, None) is not None:
            self._woken.set()
