"""The ports of the admin API in memory, for tests of use cases; what they do wrong is said to them."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import structlog

from fluxgate.api.parse import parse_object
from fluxgate.errors import (
    ResourceConflictError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from fluxgate.ir import Gateway
from fluxgate.ports import (
    Difference,
    FleetNode,
    Pending,
    PoolState,
    Propagation,
    Proposal,
    ResourceChange,
    Stored,
    Trial,
)
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.status import ObjectStatus
from fluxgate.translator import translate
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.documents import ref_of_document
from fluxgate_admin.use_cases.drafts import WriteOptions
from fluxgate_admin.use_cases.ports import (
    HistoryQuery,
    Intent,
    Revision,
    RevisionChange,
)
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.writer import Writer

NOW = dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
EVERYTHING = Principal("key_1", PrincipalKind.KEY, "ci", "default", frozenset(("*",)))


def only_in(*namespaces: str) -> Principal:
    """Somebody who may everything in some namespaces."""
    return Principal(
        "key_2", PrincipalKind.KEY, "team", "default", frozenset(("*",)), frozenset(namespaces)
    )


def document(
    kind: str, name: str, spec: Mapping[str, Any], namespace: str = "default", **metadata: Any
) -> dict[str, Any]:
    """An object as a user writes it."""
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": dict(spec),
    }


def route(name: str = "orders", path: str = "/orders", **spec: Any) -> dict[str, Any]:
    """A Route."""
    matches = [{"path": {"type": "Prefix", "value": path}}]
    return document(
        "Route",
        name,
        {"matches": matches, "backends": [{"url": "http://orders.example.com"}], **spec},
    )


@dataclass
class MemoryResources:
    """A place for objects. ``before_write`` runs in front of every write, and may raise or write itself.

    ``tried`` names what dry runs asked about; ``before_write`` runs in front of those, too.
    """

    objects: dict[ObjectRef, Stored] = field(default_factory=dict)
    before_write: Callable[[], None] = lambda: None
    after_write: Callable[[], None] = lambda: None
    tried: list[str] = field(default_factory=list)
    _versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, made: Document) -> Stored:
        """Somebody else writes."""
        ref = ref_of_document(made)
        stored = Stored(
            ref, deepcopy(dict(made)), str(next(self._versions)), created_at="2030-01-02T03:04:05Z"
        )
        self.objects[ref] = stored
        return stored

    def touch(self, ref: ObjectRef) -> None:
        """A new version with the same content: a status was written."""
        self.put(self.objects[ref].document)

    async def list(self, kind: str, namespace: str | None = None) -> Sequence[Stored]:
        return [
            each
            for ref, each in sorted(self.objects.items())
            if ref.kind == kind and namespace in (None, ref.namespace)
        ]

    async def get(self, ref: ObjectRef) -> Stored:
        if ref not in self.objects:
            raise ResourceNotFoundError(str(ref), "there is no such object")
        return self.objects[ref]

    async def create(self, made: Document, *, dry_run: bool = False) -> Stored:
        self.before_write()
        ref = ref_of_document(made)
        if ref in self.objects:
            raise ResourceExistsError(str(ref), "is there already")
        if dry_run:
            self.tried.append(f"create {ref.name}")
            return Stored(ref, made, "")
        stored = self.put(made)
        self.after_write()
        return stored

    async def replace(self, made: Document, version: str, *, dry_run: bool = False) -> Stored:
        self.before_write()
        ref = ref_of_document(made)
        self._check(ref, version)
        if dry_run:
            self.tried.append(f"replace {ref.name}")
            return Stored(ref, made, "")
        stored = self.put(made)
        self.after_write()
        return stored

    async def delete(
        self, ref: ObjectRef, version: str | None = None, *, dry_run: bool = False
    ) -> None:
        self.before_write()
        self._check(ref, version)
        if dry_run:
            self.tried.append(f"delete {ref.name}")
            return
        del self.objects[ref]
        self.after_write()

    def _check(self, ref: ObjectRef, version: str | None) -> None:
        if ref not in self.objects:
            raise ResourceNotFoundError(str(ref), "there is no such object")
        if version is not None and self.objects[ref].version != version:
            raise ResourceConflictError(str(ref), "has changed")

    async def watch(self, kinds: Sequence[str]) -> AsyncIterator[ResourceChange]:
        del kinds
        await asyncio.Event().wait()
        yield  # type: ignore[misc]


@dataclass
class MemoryPlane:
    """Translates what :class:`MemoryResources` holds, whenever it is asked; one node serves it at once.

    ``propagation`` answers :meth:`wait`, ``sees`` says whether writes are ever taken in.
    """

    resources_at: MemoryResources
    sees: bool = True
    propagation: Callable[[int], Propagation] = lambda revision: Propagation(
        revision, reconciled=True, served=("envoy-1",), lagging=()
    )
    fleet: tuple[FleetNode, ...] = (
        FleetNode("envoy-1", "main", connected=True, version="1", agent="envoy", last_seen=0),
    )
    pool_states: tuple[PoolState, ...] = ()
    extra: dict[ObjectRef, ObjectStatus] = field(default_factory=dict)
    store: ResourceStore = field(default_factory=ResourceStore)
    _known: tuple[int, Resources] | None = None
    ready: bool = True
    waited: list[float] = field(default_factory=list)

    def resources(self) -> Resources:
        wanted = [parse_object(each.document) for each in self.resources_at.objects.values()]
        self.store.replace(wanted)
        if self._known is None or self._known[0] != self.store.revision:
            self._known = (self.store.revision, self.store.freeze())
        return self._known[1]

    def statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        return {**translate(self.resources()).statuses, **self.extra}

    def gateways(self) -> Mapping[str, Gateway]:
        return translate(self.resources()).gateways

    def pools(self) -> tuple[PoolState, ...]:
        return self.pool_states

    def nodes(self) -> tuple[FleetNode, ...]:
        return self.fleet

    async def seen(self, writes: Iterable[Pending], seconds: float) -> int | None:
        del writes, seconds
        return self.resources().revision if self.sees else None

    def gathering(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def wait(self, revision: int, seconds: float) -> Propagation:
        self.waited.append(seconds)
        return self.propagation(revision)


@dataclass
class StubTrials:
    """Finds what it is told to find; keeps what it was asked."""

    trial: Trial = field(default_factory=lambda: Trial(difference=Difference(), asked_envoy=True))
    asked: list[Sequence[Proposal]] = field(default_factory=list)

    async def try_out(self, proposals: Sequence[Proposal], *, seconds: float = 10.0) -> Trial:
        del seconds
        self.asked.append(proposals)
        return self.trial


@dataclass
class MemoryHistory:
    """History as a list of what was called, and of the revisions that came of it."""

    calls: list[str] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    error: Exception | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing and self.error is not None:
            raise self.error

    async def begin(self, intent: Intent) -> None:
        self._called("begin")
        self.intents[intent.id] = intent

    async def begin_all(self, intents: Sequence[Intent]) -> None:
        for each in intents:
            await self.begin(each)

    async def finish_all(
        self, writes: Sequence[tuple[str, Stored | None]]
    ) -> Sequence[Revision | None]:
        return [await self.finish(*each) for each in writes]

    async def finish(self, intent_id: str, stored: Stored | None) -> Revision | None:
        del stored
        self._called("finish")
        intent = self.intents.pop(intent_id)
        change = (
            RevisionChange.CREATED
            if intent.before is None
            else RevisionChange.DELETED
            if intent.after is None
            else RevisionChange.UPDATED
        )
        revision = Revision(
            len(self.revisions) + 1,
            intent.ref,
            change,
            intent.author,
            intent.reason,
            intent.request_id,
            "api",
            intent.at,
            intent.before,
            intent.after,
        )
        self.revisions.append(revision)
        return revision

    async def abandon(self, intent_id: str) -> None:
        self._called("abandon")
        del self.intents[intent_id]

    async def observe(self, change: ResourceChange) -> Revision | None:
        del change
        return None

    async def list(self, query: HistoryQuery) -> Sequence[Revision]:
        found = [
            each
            for each in reversed(self.revisions)
            if query.before is None or each.number < query.before
            if query.namespaces is None or each.ref.namespace in query.namespaces
        ]
        return found[: query.limit]

    async def get(self, number: int) -> Revision | None:
        return next((each for each in self.revisions if each.number == number), None)


@dataclass
class Bench:
    """The pipeline over fakes."""

    resources: MemoryResources = field(default_factory=MemoryResources)
    history: MemoryHistory = field(default_factory=MemoryHistory)
    trials: StubTrials = field(default_factory=StubTrials)
    plane: MemoryPlane = field(init=False)
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        self.plane = MemoryPlane(self.resources)
        writer = Writer(self.resources, self.history, lambda: NOW, structlog.get_logger())
        self.changes = Changes(
            self.plane,
            self.resources,
            Trials(self.trials, 10, structlog.get_logger()),
            writer,
            seen_seconds=5,
        )


def options(**changes: Any) -> WriteOptions:
    """How a test writes."""
    return WriteOptions(**({"request_id": "req_1", "seconds": 5.0} | changes))
