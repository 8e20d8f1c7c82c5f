"""Reading and writing objects, wherever they are kept: in a cluster, or in a folder of YAML files.

Documents are what a user would write (``apiVersion``, ``kind``, ``metadata``, ``spec``), without
``status`` and ``managedFields``. Only the kinds of ``gateway.fluxgate.io`` are read and written here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from fluxgate.resources import ObjectRef

Document = Mapping[str, Any]
"""An object as JSON has it; never changed in place."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it is kept.

    ``version`` is opaque and the precondition of the next write: a resource version, or the digest of
    the document in its file. ``created_at`` is RFC 3339, empty when nobody knows. ``manager`` is who wrote
    the object last, as far as the place it is kept in knows (a field manager; ``file:routes.yaml``).
    """

    ref: ObjectRef
    document: Document
    version: str
    uid: str = ""
    created_at: str = ""
    manager: str = ""


class ChangeType(StrEnum):
    """What became of an object."""

    PRESENT = "Present"
    """It is there: said of every object when a watch begins, and begins again."""
    SYNCED = "Synced"
    """Everything that is there has been said; what was not, is not there. Names no object."""
    CHANGED = "Changed"
    """It was created or replaced."""
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One news of a watch. ``stored`` is None for SYNCED and for DELETED when its end was not seen."""

    type: ChangeType
    ref: ObjectRef | None = None
    stored: Stored | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A write that has been made: what a control plane has to have seen to include it.

    ``version`` is empty when the object was deleted.
    """

    ref: ObjectRef
    version: str


class ResourceClient(Protocol):
    """Objects of our kinds. Every method raises ``ResourceStoreUnavailableError`` without an answer.

    In a cluster also ``ResourceForbiddenError``, where we lack the right.

    With ``dry_run`` a write keeps nothing, and nobody hears of it: it raises what the write would raise, and gives
    the object as it would be, whose version is none that could be replaced. Each object is looked at by itself,
    beside what is there now; where the write itself has to be made to know, ``ResourceDryRunError`` says so.

    Contract (``tests/contract``): both implementations behave the same.
    """

    async def list(self, kind: str, namespace: str | None = None) -> Sequence[Stored]:
        """Every object of a kind, in one namespace or in all, by namespace and name."""
        ...

    async def get(self, ref: ObjectRef) -> Stored:
        """One object. Raises ``ResourceNotFoundError``."""
        ...

    async def create(self, document: Document, *, dry_run: bool = False) -> Stored:
        """A new object. Raises ``ResourceExistsError``, ``ResourceError`` (the document is not valid)."""
        ...

    async def replace(self, document: Document, version: str, *, dry_run: bool = False) -> Stored:
        """Put an object in place of version ``version`` of it.

        Raises ``ResourceNotFoundError``, ``ResourceConflictError`` (it changed meanwhile),
        ``ResourceError``. An equal document writes nothing and gives the same version again.
        """
        ...

    async def delete(
        self, ref: ObjectRef, version: str | None = None, *, dry_run: bool = False
    ) -> None:
        """Delete; with ``version`` only that one. Raises as :meth:`replace`."""
        ...

    def watch(self, kinds: Sequence[str]) -> AsyncIterator[ResourceChange]:
        """What is there, SYNCED, and from then on every change; goes on until it is closed.

        When the connection is lost, it begins again with what is there.
        """
        ...
