"""Objects of any kind: list, read, create, change, delete, for every surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fluxgate.api.canonical import OURS
from fluxgate.api.v1alpha1 import Resource
from fluxgate.errors import ResourceClientError, ResourceError, ResourceNotFoundError
from fluxgate.ports import ControlPlane, ResourceClient
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef, ref_of
from fluxgate_admin.errors import InvalidRequestError, NotFoundError
from fluxgate_admin.ids import public_id
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.catalogue import Catalogue
from fluxgate_admin.use_cases.changes import Changes, Must
from fluxgate_admin.use_cases.cursors import cursor_of
from fluxgate_admin.use_cases.documents import (
    document_of,
    etag_of,
    etag_of_document,
    new_document,
    parse,
    ref_of_document,
)
from fluxgate_admin.use_cases.drafts import Draft, Outcome, WriteOptions
from fluxgate_admin.use_cases.failures import refusals
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.use_cases.proof import Known, Proofs
from fluxgate_admin.use_cases.scopes import require_read

CREATED_AT = f"{OURS}created-at"
"""Where a folder keeps when an object was made: it has nobody else who would know."""

Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """One object as it is served: what was written, and what is known of it.

    ``kept`` is its document where it is kept, when somebody looked: a standalone gateway serves some
    GatewayConfigs on another port than they say.
    """

    ref: ObjectRef
    id: str
    resource: Resource
    created_at: str
    known: Known
    kept: Document | None = None

    @property
    def etag(self) -> str:
        """The version that ``If-Match`` compares."""
        return etag_of(self.resource) if self.kept is None else etag_of_document(self.kept)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of objects; ``after`` is where the next one begins, None on the last."""

    objects: tuple[Shown, ...]
    after: ObjectRef | None

    @property
    def cursor(self) -> str | None:
        """The cursor of the next page, None on the last."""
        return None if self.after is None else cursor_of(self.after)


@dataclass(frozen=True, slots=True)
class Query:
    """Which objects: behind ``after``, at most ``limit``; of one namespace, unless it is empty.

    ``labels`` all have to be there with these values; an empty value takes any. ``state`` is one of the
    words of :meth:`fluxgate_admin.use_cases.proof.Known.state`.
    """

    after: ObjectRef | None = None
    limit: int = 100
    namespace: str = ""
    labels: Mapping[str, str] | None = None
    state: str = ""


class Objects:
    """What there is, and changes of it."""

    def __init__(
        self,
        plane: ControlPlane,
        resources: ResourceClient,
        catalogue: Catalogue,
        changes: Changes,
        default_namespace: str,
    ) -> None:
        self._plane = plane
        self._resources = resources
        self._catalogue = catalogue
        self._changes = changes
        self._default_namespace = default_namespace
        self._proofs = Proofs(plane)

    async def list(self, principal: Principal, kind: str, query: Query) -> Listing:
        """A page, from memory; but for the times of files that somebody wrote by hand."""
        require_read(principal, kind)
        known = self._proofs.known(principal, self._plane.statuses())

        def wanted(each: Resource) -> bool:
            labels = each.metadata.labels
            fits = all(
                key in labels and value in ("", labels[key])
                for key, value in (query.labels or {}).items()
            )
            return fits and query.state in ("", known.state(ref_of(each)))

        page = self._catalogue.page(
            principal,
            kind,
            after=query.after,
            limit=query.limit,
            namespace=query.namespace,
            wanted=wanted,
        )
        found = [await self._dated(self._shown(each, known)) for each in page.objects]
        return Listing(tuple(found), page.after)

    def named(self, principal: Principal, ref: ObjectRef) -> Shown:
        """One object by its name, from memory. Raises ``NotFoundError``."""
        require_read(principal, ref.kind)
        found = self._catalogue.get(principal, ref)
        if found is None:
            raise NotFoundError(f"There is no {ref}.")
        return self._shown(found, self._proofs.known(principal, self._plane.statuses()))

    def find(self, principal: Principal, kind: str, public: str) -> ObjectRef:
        """The identity behind a public id, or a name: of the object where the caller's are put (:meth:`place`).

        No name has the ``_`` that every id has. Raises ``NotFoundError``, and what :meth:`place` raises.
        """
        if "_" in public:
            return ref_of(self._catalogue.find(principal, kind, public))
        ref = self.place(principal, kind, public, None)
        if self._catalogue.get(principal, ref) is None:
            raise NotFoundError(f"There is no {ref}.")
        return ref

    async def get(self, principal: Principal, kind: str, public: str) -> Shown:
        """One object by its public id or its name, as :meth:`find`."""
        shown = self.named(principal, self.find(principal, kind, public))
        # the time of a file that somebody wrote by hand is not in memory
        return shown if shown.created_at else await self._with_kept(shown)

    async def kept(self, principal: Principal, ref: ObjectRef) -> Shown:
        """One object by its name, with its document where it is kept. Raises ``NotFoundError``."""
        return await self._with_kept(self.named(principal, ref))

    def place(self, principal: Principal, kind: str, name: str, namespace: str | None) -> ObjectRef:
        """Where a new object goes; without ``namespace``, where the caller's objects are.

        Raises ``InvalidRequestError`` when that could be more than one place.
        """
        if namespace:
            return ObjectRef(kind, namespace, name)
        mine = principal.namespaces
        if mine is None or self._default_namespace in mine:
            return ObjectRef(kind, self._default_namespace, name)
        if len(mine) != 1:
            raise InvalidRequestError(
                f"Say in which namespace; yours are {', '.join(sorted(mine)) or 'none'}."
            )
        return ObjectRef(kind, next(iter(mine)), name)

    async def create(
        self,
        principal: Principal,
        ref: ObjectRef,
        spec: Spec,
        labels: Mapping[str, str],
        pointers: Pointers,
        options: WriteOptions,
    ) -> Outcome:
        """A new object."""
        draft = Draft(ref, new_document(ref, spec, labels), pointers)
        return await self._changes.create(principal, draft, options)

    async def update(
        self,
        principal: Principal,
        ref: ObjectRef,
        edit: Callable[[Spec], tuple[Spec, Pointers]],
        options: WriteOptions,
        labels: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda before: before,
    ) -> Outcome:
        """Change an object: its spec by ``edit``, its labels by ``labels``; nothing else of it."""

        def drafted(before: Document | None) -> Draft:
            was = before or {}
            spec, pointers = edit(was.get("spec") or {})
            metadata = dict(was.get("metadata") or {})
            now = dict(labels(metadata.get("labels") or {}))
            metadata = {**metadata, "labels": now}
            if not now:
                del metadata["labels"]
            return Draft(ref, {**was, "metadata": metadata, "spec": dict(spec)}, pointers)

        return await self._changes.change(principal, ref, drafted, options)

    async def put(
        self, principal: Principal, document: Document, pointers: Pointers, options: WriteOptions
    ) -> Outcome:
        """Make an object be what ``document`` says, whether it is there or not."""
        draft = Draft(ref_of_document(document), document, pointers)
        return await self._changes.change(
            principal, draft.ref, lambda _: draft, options, must=Must.ANY
        )

    async def delete(self, principal: Principal, ref: ObjectRef, options: WriteOptions) -> Outcome:
        """Delete an object."""
        return await self._changes.delete(principal, ref, options)

    def after_write(self, principal: Principal, outcome: Outcome) -> Shown | None:
        """The object as it is served after a change; None where it is not in memory (yet)."""
        found = self._catalogue.get(principal, outcome.ref)
        if found is None:
            return None
        shown = self._shown(found, self._proofs.known(principal, self._plane.statuses()))
        made = outcome.stored.created_at if outcome.stored is not None else ""
        return replace(shown, created_at=shown.created_at or made, kept=outcome.document)

    def _shown(self, resource: Resource, known: Known) -> Shown:
        ref, metadata = ref_of(resource), resource.metadata
        created = metadata.creation_timestamp or metadata.annotations.get(CREATED_AT, "")
        return Shown(ref, public_id(ref), resource, created, known)

    async def _dated(self, shown: Shown) -> Shown:
        """With the time of the file, where an object has none of its own."""
        if shown.created_at or shown.ref.source is not None:
            return shown
        return replace(await self._with_kept(shown), kept=None)

    async def document(self, shown: Shown) -> Document:
        """What was written; of a gateway as it is kept, since it may be served with another port than it says."""
        if shown.ref.kind == "GatewayConfig":
            with refusals():
                try:
                    kept = await self._resources.get(shown.ref)
                    return document_of(parse(kept.document))
                except (ResourceNotFoundError, ResourceError):
                    pass  # it is being changed at this very moment: what is in memory is as true
        return document_of(shown.resource)

    async def _with_kept(self, shown: Shown) -> Shown:
        try:
            stored = await self._resources.get(shown.ref)
        except ResourceClientError:
            return shown  # it is served all the same
        created = shown.created_at or stored.created_at
        return replace(shown, created_at=created, kept=stored.document)
