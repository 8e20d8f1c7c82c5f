"""What a folder says there shall be, as documents of our kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.documents import document_of
from fluxgate_cli.folder import load_folder
from fluxgate_operator.problems import FileProblem


@dataclass(frozen=True, slots=True)
class Declared:
    """The documents by identity, where each stands, and what could not be read.

    ``skipped`` are objects that are not of our kinds: Secrets are the cluster's to keep.
    """

    documents: Mapping[ObjectRef, Document]
    places: Mapping[ObjectRef, str]
    problems: tuple[FileProblem, ...]
    skipped: tuple[ObjectRef, ...]


def read_declared(root: Path, namespace: str) -> Declared:
    """Every object of the files below ``root``; ``namespace`` is for those that name none.

    Raises :class:`UsageError` when it is no folder.
    """
    folder = load_folder(root)
    documents: dict[ObjectRef, Document] = {}
    places: dict[ObjectRef, str] = {}
    skipped: list[ObjectRef] = []
    for ref, obj in folder.resources:
        if not isinstance(obj, Resource):
            skipped.append(ref)
            continue
        document = document_of(obj)
        named = "namespace" in obj.metadata.model_fields_set
        own = ref if named else ObjectRef(ref.kind, namespace, ref.name)
        document["metadata"]["namespace"] = own.namespace
        documents[own] = document
        file, line = folder.places.get(ref, ("", 0))
        places[own] = f"{file}:{line}" if line else file
    return Declared(documents, places, folder.problems, tuple(skipped))
