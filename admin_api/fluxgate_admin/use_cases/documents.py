"""Documents: whose they are, what tells two of them apart, what is kept when one is replaced. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fluxgate.api.canonical import OURS, digest
from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import API_VERSION, Resource
from fluxgate.errors import ResourceError
from fluxgate.ports.resources import Document, Stored
from fluxgate.resources import ObjectRef

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_IDENTITY = ("name", "namespace", "labels", "annotations")


def ref_of_document(document: Document) -> ObjectRef:
    """The identity of a document that has a kind and a name."""
    metadata = document.get("metadata") or {}
    namespace = str(metadata.get("namespace") or "default")
    return ObjectRef(str(document.get("kind")), namespace, str(metadata.get("name")))


def new_document(
    ref: ObjectRef, spec: Mapping[str, Any], labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A document of one of our kinds."""
    metadata: dict[str, Any] = {"name": ref.name, "namespace": ref.namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": API_VERSION,
        "kind": ref.kind,
        "metadata": metadata,
        "spec": deepcopy(dict(spec)),
    }


def parse(document: Document) -> Resource:
    """The object of a document of one of our kinds. Raises ``ResourceError``."""
    found = parse_object(document)
    if not isinstance(found, Resource):
        raise ResourceError(str(document.get("kind")), ())
    return found


def read(stored: Stored | None) -> Resource | None:
    """What is kept, as an object; None when there is nothing, or nothing valid."""
    try:
        return parse(stored.document) if stored is not None else None
    except ResourceError:
        return None


def document_of(resource: Resource) -> dict[str, Any]:
    """What the user wrote, as far as the models keep it: fields that were set, numbers as numbers."""
    written = resource.model_dump(mode="json", by_alias=True, exclude_unset=True, include={"spec"})
    metadata = resource.metadata
    kept: dict[str, Any] = {"name": metadata.name, "namespace": metadata.namespace}
    kept |= {"labels": dict(metadata.labels)} if metadata.labels else {}
    annotations = {key: each for key, each in metadata.annotations.items() if _is_users(key)}
    kept |= {"annotations": annotations} if annotations else {}
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": kept,
        "spec": written.get("spec") or {},
    }


def etag_of(resource: Resource) -> str:
    """The digest that an ETag holds: of the canonical document, read through the models.

    Through the models, because they are all that is in memory, and because ``20`` and ``20.0`` are one number.
    """
    return digest(document_of(resource))


def etag_of_document(document: Document) -> str:
    """As :func:`etag_of`; of a document that is no valid object, the digest of what it says."""
    try:
        return etag_of(parse(document))
    except ResourceError:
        return digest(document)


def equal(before: Document, after: Document) -> bool:
    """Whether writing ``after`` over ``before`` would change nothing that anybody could tell.

    A default that is written out is the same as one that is left out: API servers write them out.
    """
    if digest(before) == digest(after):
        return True
    try:
        old, new = parse(before), parse(after)
    except ResourceError:
        return False
    return (
        getattr(old, "spec", None) == getattr(new, "spec", None)
        and document_of(old)["metadata"] == document_of(new)["metadata"]
    )


def carried_over(before: Document, after: Document) -> dict[str, Any]:
    """``after`` with the bookkeeping of ``before``: finalizers, owners, annotations that are not the user's."""
    old, new = before.get("metadata") or {}, after.get("metadata") or {}
    metadata = {key: value for key, value in old.items() if key not in _IDENTITY}
    metadata |= {key: value for key, value in new.items() if key in _IDENTITY}
    kept = {k: v for k, v in (old.get("annotations") or {}).items() if not _is_users(k)}
    if annotations := {**kept, **(new.get("annotations") or {})}:
        metadata["annotations"] = annotations
    return {**after, "metadata": metadata}


def _is_users(annotation: str) -> bool:
    return annotation != _LAST_APPLIED and not annotation.startswith(OURS)
