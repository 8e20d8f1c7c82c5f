"""What the provider and those it feeds agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fluxgate.errors import FieldProblem
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.client import Document


class Intake(Protocol):
    """Takes in the objects of one kind, as the API server shows them.

    The provider calls it on the event loop of the store, each object at most once per resource
    version, and reports the store's change itself. It must not raise for what a document holds.
    """

    def put(self, document: Document) -> None:
        """An object is there, new or changed."""
        ...

    def drop(self, namespace: str, name: str) -> None:
        """An object is gone."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a status writer has to know of an object besides its spec.

    ``status`` is the object's status as last seen. ``problems`` is what our models find wrong
    with an object the API server holds all the same (stored under an older schema, say).
    """

    ref: ObjectRef
    uid: str
    resource_version: str
    generation: int
    status: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[FieldProblem, ...] = ()


class FactsReader(Protocol):
    """The facts of the objects of our kinds, for whoever writes their status."""

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        """The facts of one object; None when there is no such object (any more)."""
        ...

    def troubled(self) -> Mapping[ObjectRef, ObjectFacts]:
        """The objects with ``problems``; none of them is in the store as it is now."""
        ...
