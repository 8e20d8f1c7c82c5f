"""The named ports of Services, since an Ingress may name a port instead of numbering it."""

from __future__ import annotations

from collections.abc import Callable

from fluxgate_operator.ingress.read import ServicePort
from fluxgate_operator.kube.client import Document

Key = tuple[str, str]
"""Namespace and name."""


class ServicePorts:
    """Names and numbers of the ports of all Services; an intake of them."""

    def __init__(self, changed: Callable[[Key], None]) -> None:
        self._ports: dict[Key, dict[str, int]] = {}
        self._external: set[Key] = set()
        self._changed = changed

    def put(self, document: Document) -> None:
        """A Service is there, new or changed; tells of it when its ports did."""
        meta, spec = document["metadata"], document.get("spec") or {}
        key = meta["namespace"], meta["name"]
        ports = {each.get("name") or "": each["port"] for each in spec.get("ports") or ()}
        external = spec.get("type") == "ExternalName"
        if self._ports.get(key) == ports and (key in self._external) == external:
            return
        self._ports[key] = ports
        (self._external.add if external else self._external.discard)(key)
        self._changed(key)

    def drop(self, namespace: str, name: str) -> None:
        """A Service is gone."""
        key = namespace, name
        self._external.discard(key)
        if self._ports.pop(key, None) is not None:
            self._changed(key)

    def number(self, namespace: str, wanted: ServicePort) -> int | str:
        """The number of a port, or words why there is none.

        A port given by its number is not looked at here: translation tells what is wrong with it.
        """
        key = namespace, wanted.service
        shown = f"Service {namespace}/{wanted.service}"
        if key in self._external:
            return (
                f"{shown} is of type ExternalName, which has no endpoints; use a Route with "
                "the url of a Backend"
            )
        if wanted.number:
            return wanted.number
        ports = self._ports.get(key)
        if ports is None:
            return f"{shown} does not exist; create it or correct the name"
        number = ports.get(wanted.name)
        if number is None:
            known = ", ".join(sorted(filter(None, ports))) or "none"
            return f"{shown} has no port named {wanted.name!r}; named ports: {known}"
        return number
