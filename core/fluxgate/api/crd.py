"""CustomResourceDefinitions from the models: structural schemas with CEL rules.

Structural, as apiextensions.k8s.io/v1 defines it: every node has one type, no
``$ref``, no ``anyOf`` that carries types, no ``additionalProperties`` beside
``properties``. Every list, map and text is bounded, so that the API server can
estimate what the rules cost.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from fluxgate.api.structural import schema_of
from fluxgate.api.v1alpha1 import GROUP, KINDS, VERSION, GatewayConfig, Resource, Upstream

CATEGORY = "fluxgate"

_CONDITION: dict[str, Any] = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string", "maxLength": 316},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string", "maxLength": 1024},
        "message": {"type": "string", "maxLength": 32768},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
    },
}

STATUS: dict[str, Any] = {
    "type": "object",
    "description": "Written by the control plane.",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "conditions": {
            "type": "array",
            "maxItems": 16,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _CONDITION,
        },
    },
}
"""The schema of every kind's status subresource."""

_NODES: dict[str, Any] = {
    "type": "object",
    "description": "How many Envoys of the fleet are connected, and how many serve something.",
    "properties": {
        "connected": {"type": "integer", "format": "int32", "minimum": 0},
        "serving": {"type": "integer", "format": "int32", "minimum": 0},
    },
}

_ADDRESSES: dict[str, Any] = {
    "type": "array",
    "description": "Where the fleet is reached from outside, as spec.exposure asks for.",
    "maxItems": 1024,
    "x-kubernetes-list-type": "atomic",
    "items": {
        "type": "object",
        "required": ["type", "value"],
        "properties": {
            "type": {"type": "string", "enum": ["IPAddress", "Hostname", "NodePort"]},
            "value": {"type": "string", "maxLength": 253},
        },
    },
}


_UNHEALTHY_TARGETS: dict[str, Any] = {
    "type": "array",
    "description": "Targets that some Envoys send no requests, and how many Envoys do not.",
    "maxItems": 100,
    "x-kubernetes-list-type": "atomic",
    "items": {
        "type": "object",
        "required": ["address", "nodes", "reasons"],
        "properties": {
            "address": {"type": "string", "maxLength": 320},
            "nodes": {"type": "integer", "format": "int32", "minimum": 1},
            "reasons": {
                "type": "array",
                "maxItems": 8,
                "items": {"type": "string", "enum": ["CheckFailed", "Ejected"]},
            },
        },
    },
}


def kind_of(model: type[Resource]) -> str:
    """The ``kind`` of a resource model."""
    return str(model.model_fields["kind"].default)


def crd_name(model: type[Resource]) -> str:
    """``routes.gateway.fluxgate.io``; also the name of the file under ``crds/``."""
    return f"{model.plural}.{GROUP}"


def build_crd(model: type[Resource]) -> dict[str, Any]:
    """The CustomResourceDefinition of one kind, as a document."""
    kind = kind_of(model)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd_name(model)},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": model.plural,
                "singular": kind.lower(),
                "shortNames": list(model.short_names),
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(model),
                    "schema": {"openAPIV3Schema": _root(model)},
                }
            ],
        },
    }


def build_crds() -> dict[str, dict[str, Any]]:
    """Every kind's CustomResourceDefinition, by its name."""
    return {crd_name(model): build_crd(model) for model in KINDS}


def _root(model: type[Resource]) -> dict[str, Any]:
    spec = model.model_fields["spec"].annotation
    assert isinstance(spec, type)
    assert issubclass(spec, BaseModel)
    return {
        "type": "object",
        "description": (model.__doc__ or "").strip(),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema_of(spec),
            "status": _status(model),
        },
    }


def _status(model: type[Resource]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if model is GatewayConfig:
        more = {"addresses": _ADDRESSES, "nodes": _NODES}
    elif model is Upstream:
        more = {"unhealthyTargets": _UNHEALTHY_TARGETS}
    return {**STATUS, "properties": {**STATUS["properties"], **more}} if more else STATUS


def _columns(model: type[Resource]) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = []
    for each in model.columns:
        column: dict[str, Any] = {
            "name": each.name,
            "type": each.type,
            "jsonPath": each.json_path,
        }
        if each.priority:
            column["priority"] = each.priority
        columns.append(column)
    for condition in ("Accepted", "Programmed"):
        path = f'.status.conditions[?(@.type=="{condition}")].status'
        columns.append({"name": condition, "type": "string", "jsonPath": path})
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    return [*columns, age]
