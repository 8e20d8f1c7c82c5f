"""What both adapters do with documents: check them, and take from them what a user wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fluxgate.api.canonical import OURS, canonical
from fluxgate.api.parse import describe, parse_object
from fluxgate.api.v1alpha1 import API_VERSION, KINDS, Resource
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef, ref_of

PLURALS: Mapping[str, str] = {
    str(model.model_fields["kind"].default): model.plural for model in KINDS
}
"""The kinds that are read and written, and what their collections are called."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def checked(document: Document) -> tuple[ObjectRef, dict[str, Any]]:
    """Who ``document`` is, and what of it is kept. Raises ``ResourceError`` with every problem."""
    obj = parse_object(document)
    if not isinstance(obj, Resource):
        problem = FieldProblem("kind", f"is not one of {', '.join(sorted(PLURALS))}")
        raise ResourceError(describe(document), (problem,))
    return ref_of(obj), canonical(document)


def identity(document: Document) -> ObjectRef | None:
    """Who an object of ours is, valid or not; None for any other document."""
    kind, metadata = document.get("kind"), document.get("metadata")
    if document.get("apiVersion") != API_VERSION or kind not in PLURALS:
        return None
    if not isinstance(metadata, Mapping):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace") or "default"
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    return ObjectRef(str(kind), namespace, name)


def bookkeeping(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Of an object's annotations those that no user wrote; they outlive a replacement."""
    return {
        key: value
        for key, value in annotations.items()
        if key == LAST_APPLIED or key.startswith(OURS)
    }
