"""The objects the scenarios apply."""

from __future__ import annotations

import json

from fluxgate.api.v1alpha1 import API_VERSION


def manifest(kind: str, namespace: str, name: str, **spec: object) -> dict[str, object]:
    """One object of ours."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def route(namespace: str, name: str, path: str, service: str, **spec: object) -> dict[str, object]:
    """A Route from a path prefix to port 8000 of a Service."""
    backends = [{"kind": "Service", "name": service, "port": 8000}]
    matches = [{"path": {"value": path}}]
    return manifest("Route", namespace, name, matches=matches, backends=backends, **spec)


def text(*objects: dict[str, object]) -> str:
    """As ``kubectl apply -f -`` takes them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
