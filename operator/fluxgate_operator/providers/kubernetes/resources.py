"""Objects of our kinds: into the store when they are good, among the troubled when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import Resource
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.kube.client import Document
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts


class ResourceBook:
    """What the API server holds of our kinds, in the store and as facts for status writers.

    An object that our models refuse (stored under an older schema, say) is named with its
    problems; the last good object of that name stays in the store as long as the object exists.
    """

    def __init__(self, store: ResourceStore) -> None:
        self._store = store
        self._facts: dict[ObjectRef, ObjectFacts] = {}
        self._troubled: dict[ObjectRef, ObjectFacts] = {}

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        """The facts of one object; None when there is none of that name."""
        return self._facts.get(ref)

    def troubled(self) -> Mapping[ObjectRef, ObjectFacts]:
        """The objects with problems."""
        return MappingProxyType(self._troubled)

    def put(self, kind: str, document: Document) -> bool:
        """Take an object in; returns whether who is troubled changed."""
        meta = document["metadata"]
        ref = ObjectRef(kind, meta["namespace"], meta["name"])
        before = self._facts.get(ref)
        if before is not None and self._only_status(before, meta, ref):
            problems = before.problems
        else:
            problems = self._parse(document)
        facts = ObjectFacts(
            ref,
            meta.get("uid", ""),
            meta.get("resourceVersion", ""),
            meta.get("generation", 0),
            document.get("status") or {},
            problems,
        )
        self._facts[ref] = facts
        self._troubled.pop(ref, None)
        if problems:
            self._troubled[ref] = facts
        return problems != (before.problems if before else ())

    def _only_status(self, before: ObjectFacts, meta: Mapping[str, Any], ref: ObjectRef) -> bool:
        """Whether nothing we translate differs: our own status writes come back as events."""
        stored = self._store.get(ref)
        return (
            before.uid == meta.get("uid")
            and before.generation == meta.get("generation")
            and (before.problems or isinstance(stored, Resource))
            and (
                not isinstance(stored, Resource)
                or stored.metadata.labels == (meta.get("labels") or {})
            )
        )

    def _parse(self, document: Document) -> tuple[FieldProblem, ...]:
        meta = {key: each for key, each in document["metadata"].items() if key != "managedFields"}
        said = {key: each for key, each in document.items() if key != "status"}
        try:
            self._store.upsert(parse_object({**said, "metadata": meta}))
        except ResourceError as error:
            return error.problems
        return ()

    def drop(self, ref: ObjectRef) -> bool:
        """Forget an object; returns whether it was troubled."""
        self._store.remove(ref)
        self._facts.pop(ref, None)
        return self._troubled.pop(ref, None) is not None


class KindIntake:
    """The book's ear for one kind. ``changed`` is called when who is troubled changed."""

    def __init__(self, kind: str, book: ResourceBook) -> None:
        self._kind = kind
        self._book = book
        self.troubled_changes = 0

    def put(self, document: Document) -> None:
        """See :class:`~fluxgate_operator.providers.kubernetes.intake.Intake`."""
        self.troubled_changes += self._book.put(self._kind, document)

    def drop(self, namespace: str, name: str) -> None:
        """See :class:`~fluxgate_operator.providers.kubernetes.intake.Intake`."""
        self.troubled_changes += self._book.drop(ObjectRef(self._kind, namespace, name))
