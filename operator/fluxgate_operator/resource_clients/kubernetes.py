"""Objects in a cluster, by the official client's asyncio side (docs/decisions/0025)."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CustomObjectsApi,
    V1DeleteOptions,
    V1Preconditions,
)
from structlog.typing import FilteringBoundLogger

from fluxgate.api.canonical import canonical, digest
from fluxgate.api.v1alpha1 import API_VERSION, GROUP, VERSION
from fluxgate.errors import (
    FieldProblem,
    ResourceConflictError,
    ResourceError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports.resources import Document, ResourceChange, Stored
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.resource_clients.kubernetes_watch import Listing, WatchSettings, followed
from fluxgate_operator.resource_clients.objects import PLURALS, bookkeeping, checked
from fluxgate_operator.resource_clients.official import DRY_RUN, asked, official_client

FIELD_MANAGER = "fluxgate-admin"
"""Who managedFields says wrote what comes through here."""
_PAGE = 500
_TRIES = 5
"""How often a write begins anew because of a write that changed nothing a user says: a status."""
_KEPT = ("finalizers", "ownerReferences", "uid")
"""Of an object's metadata what a replacement must not lose."""


class KubernetesResources:
    """:class:`~fluxgate.ports.ResourceClient` for the cluster of ``access``.

    Use as ``async with`` in a running loop. ``namespaces`` are those we may read and write, empty for all.
    ``seconds`` bounds one request, ``patience`` how long a server that is too busy is waited for.
    """

    def __init__(
        self,
        access: ClusterAccess,
        log: FilteringBoundLogger,
        *,
        namespaces: Sequence[str] = (),
        seconds: float = 30.0,
        patience: float = 10.0,
        watch: WatchSettings | None = None,
    ) -> None:
        self._access = access
        self._log = log
        self._namespaces = tuple(namespaces)
        self._seconds = seconds
        self._patience = patience
        self._watch = watch or WatchSettings()
        self._open = contextlib.AsyncExitStack()
        self._client: ApiClient | None = None

    async def __aenter__(self) -> Self:
        client = official_client(self._access, FIELD_MANAGER)
        self._client = await self._open.enter_async_context(client)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client = None
        await self._open.aclose()

    # reading

    async def list(self, kind: str, namespace: str | None = None) -> Sequence[Stored]:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        scopes: Sequence[str | None] = self._namespaces or (None,)
        if namespace is not None:
            scopes = (namespace,) if self._ours(namespace) else ()
        found = [each for scope in scopes for each in (await self._list(kind, scope)).items]
        return tuple(sorted(found, key=lambda each: each.ref))

    async def get(self, ref: ObjectRef) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        return _stored(ref.kind, await self._get(ref))

    async def _get(self, ref: ObjectRef) -> Mapping[str, Any]:
        if not self._ours(ref.namespace):
            raise ResourceNotFoundError(str(ref), "is not there")
        return await self._ask(
            str(ref),
            lambda api: api.get_namespaced_custom_object(
                GROUP, VERSION, ref.namespace, PLURALS[ref.kind], ref.name
            ),
        )

    async def _list(self, kind: str, scope: str | None) -> Listing:
        """All pages, at one resource version; begun again when it took the server too long."""
        for _ in range(_TRIES):
            try:
                return await self._pages(kind, scope)
            except ResourceStoreUnavailableError as error:
                cause = error.__cause__
                if not isinstance(cause, ApiException) or cause.status != 410:
                    raise
        raise ResourceStoreUnavailableError(PLURALS[kind], "the list takes too long")

    async def _pages(self, kind: str, scope: str | None) -> Listing:
        items: builtins.list[Stored] = []
        token: str | None = None
        while True:
            page = await self._page(kind, scope, token)
            items += [_stored(kind, each) for each in page.get("items") or ()]
            meta = page.get("metadata") or {}
            token = meta.get("continue") or None
            if token is None:
                return Listing(tuple(items), meta.get("resourceVersion", ""))

    async def _page(self, kind: str, scope: str | None, token: str | None) -> Mapping[str, Any]:
        plural = PLURALS[kind]
        if scope is None:
            return await self._ask(
                plural,
                lambda api: api.list_custom_object_for_all_namespaces(
                    GROUP, VERSION, plural, limit=_PAGE, _continue=token
                ),
            )
        return await self._ask(
            plural,
            lambda api: api.list_namespaced_custom_object(
                GROUP, VERSION, scope, plural, limit=_PAGE, _continue=token
            ),
        )

    # writing

    async def create(self, document: Document, *, dry_run: bool = False) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        ref, wanted = checked(document)
        self._check_ours(ref)
        made = await self._ask(
            str(ref),
            lambda api: api.create_namespaced_custom_object(
                GROUP,
                VERSION,
                ref.namespace,
                PLURALS[ref.kind],
                wanted,
                dry_run=DRY_RUN if dry_run else None,
                field_manager=FIELD_MANAGER,
                field_validation="Strict",
            ),
            dry_run=dry_run,
        )
        return _stored(ref.kind, made)

    async def replace(self, document: Document, version: str, *, dry_run: bool = False) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`.

        Finalizers, owners and others' bookkeeping annotations stay. A status written meanwhile is no conflict.
        """
        ref, wanted = checked(document)
        seen = await self._at(ref, version)
        before = current = _stored(ref.kind, seen)
        for _ in range(_TRIES):
            if digest(current.document) == digest(wanted):
                return current
            body = _body(wanted, seen)
            try:
                return _stored(ref.kind, await self._put(ref, body, dry_run=dry_run))
            except ResourceConflictError:
                seen = await self._get(ref)
                current = _stored(ref.kind, seen)
                if not _same(before, current):
                    raise
        raise ResourceConflictError(str(ref), "its status changes too often; try again")

    async def _put(
        self, ref: ObjectRef, body: dict[str, Any], *, dry_run: bool
    ) -> Mapping[str, Any]:
        return await self._ask(
            str(ref),
            lambda api: api.replace_namespaced_custom_object(
                GROUP,
                VERSION,
                ref.namespace,
                PLURALS[ref.kind],
                ref.name,
                body,
                dry_run=DRY_RUN if dry_run else None,
                field_manager=FIELD_MANAGER,
                field_validation="Strict",
            ),
            dry_run=dry_run,
        )

    async def delete(
        self, ref: ObjectRef, version: str | None = None, *, dry_run: bool = False
    ) -> None:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        if not self._ours(ref.namespace):
            raise ResourceNotFoundError(str(ref), "is not there")
        if version is None:
            await self._delete(ref, None, dry_run=dry_run)
            return
        before = current = _stored(ref.kind, await self._at(ref, version))
        for _ in range(_TRIES):
            try:
                await self._delete(ref, current.version, dry_run=dry_run)
            except ResourceConflictError:
                current = await self.get(ref)
                if not _same(before, current):
                    raise
            else:
                return
        raise ResourceConflictError(str(ref), "its status changes too often; try again")

    async def _delete(self, ref: ObjectRef, version: str | None, *, dry_run: bool) -> None:
        condition = V1Preconditions(resource_version=version) if version is not None else None
        # in the body: beside one, the API server does not read the query's (it would delete)
        options = V1DeleteOptions(preconditions=condition, dry_run=[DRY_RUN] if dry_run else None)
        await self._ask(
            str(ref),
            lambda api: api.delete_namespaced_custom_object(
                GROUP,
                VERSION,
                ref.namespace,
                PLURALS[ref.kind],
                ref.name,
                body=options,
            ),
            dry_run=dry_run,
        )

    async def _at(self, ref: ObjectRef, version: str) -> Mapping[str, Any]:
        """The object, when it is at ``version`` still. Raises ``ResourceConflictError``."""
        seen = await self._get(ref)
        if seen["metadata"]["resourceVersion"] != version:
            raise ResourceConflictError(str(ref), f"is not at version {version} any more")
        return seen

    # watching

    def watch(self, kinds: Sequence[str]) -> AsyncIterator[ResourceChange]:
        """See :class:`~fluxgate.ports.ResourceClient`.

        What others change in an object besides what a user says (its status) is no news.
        """
        scopes: Sequence[str | None] = self._namespaces or (None,)
        return followed(
            self._api(),
            [(kind, PLURALS[kind], scope) for kind in kinds for scope in scopes],
            self._list,
            _stored,
            self._watch,
            self._log,
        )

    # requests

    def _api(self) -> CustomObjectsApi:
        if self._client is None:
            raise ResourceStoreUnavailableError("", "the client is closed")
        return CustomObjectsApi(self._client)

    async def _ask(
        self,
        subject: str,
        request: Callable[[CustomObjectsApi], Awaitable[object]],
        *,
        dry_run: bool = False,
    ) -> Mapping[str, Any]:
        api = self._api()
        answer = await asked(
            subject,
            lambda: request(api),
            seconds=self._seconds,
            patience=self._patience,
            dry_run=dry_run,
        )
        return cast("Mapping[str, Any]", answer)

    def _ours(self, namespace: str) -> bool:
        return not self._namespaces or namespace in self._namespaces

    def _check_ours(self, ref: ObjectRef) -> None:
        if not self._ours(ref.namespace):
            problem = FieldProblem(
                # which ones are is not for everybody who may write to one of them
                "metadata.namespace",
                "is not managed here: the control plane does not watch this namespace",
            )
            raise ResourceError(str(ref), (problem,))


def _stored(kind: str, seen: Mapping[str, Any]) -> Stored:
    # items of a list do not say what they are (meta/v1 List)
    meta = seen["metadata"]
    return Stored(
        ObjectRef(kind, meta["namespace"], meta["name"]),
        canonical({**seen, "kind": kind, "apiVersion": API_VERSION}),
        meta.get("resourceVersion", ""),  # a dry run of a creation gives none
        uid=meta.get("uid", ""),
        created_at=meta.get("creationTimestamp", ""),
        manager=_manager(meta.get("managedFields") or ()),
    )


def _manager(entries: Sequence[Mapping[str, Any]]) -> str:
    """Who wrote the object last, statuses aside (meta/v1 ManagedFieldsEntry).

    Its times are seconds. Of two who wrote in one of them it is the other: who made a write of ours is
    known from its announcement, and what is asked here is who made those that nobody announced.
    """
    own = [each for each in entries if not each.get("subresource")]
    latest = max(own, key=_written, default=None)
    return latest.get("manager", "") if latest is not None else ""


def _written(entry: Mapping[str, Any]) -> tuple[str, bool]:
    return entry.get("time") or "", entry.get("manager") != FIELD_MANAGER


def _same(one: Stored, other: Stored) -> bool:
    """Whether they are one object that says the same."""
    return one.uid == other.uid and digest(one.document) == digest(other.document)


def _body(wanted: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    meta = seen["metadata"]
    annotations = {
        **wanted["metadata"].get("annotations", {}),
        **bookkeeping(meta.get("annotations") or {}),
    }
    kept = {key: meta[key] for key in _KEPT if key in meta}
    metadata = {**kept, **wanted["metadata"], "resourceVersion": meta["resourceVersion"]}
    if annotations:
        metadata["annotations"] = annotations
    return {**wanted, "metadata": metadata}
