"""What use cases need kept: history, idempotency, audit. Implemented by ``fluxgate_admin.db``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from fluxgate.ports import ResourceChange, Stored
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef


class RevisionChange(StrEnum):
    """What a revision did to its object."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that is about to be made; kept before it, so that a crash loses neither author nor reason.

    ``before`` and ``after`` are canonical documents, None where there is no object. ``id`` is ours, unique.
    """

    id: str
    ref: ObjectRef
    author: str
    reason: str
    request_id: str
    at: dt.datetime
    before: Document | None
    after: Document | None


@dataclass(frozen=True, slots=True)
class Revision:
    """One accepted change of one object. ``number`` grows over all objects; ``via`` is ``api`` or ``watch``."""

    number: int
    ref: ObjectRef
    change: RevisionChange
    author: str
    reason: str
    request_id: str
    via: str
    at: dt.datetime
    before: Document | None
    after: Document | None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which revisions: newest first, below ``before`` (a number), at most ``limit``.

    Of one ``kind``, unless it is empty; of ``kinds`` alone, unless that is None.
    """

    namespaces: frozenset[str] | None = None
    ref: ObjectRef | None = None
    kind: str = ""
    kinds: frozenset[str] | None = None
    author: str = ""
    before: int | None = None
    limit: int = 50


class History(Protocol):
    """Every accepted change, whichever way it came in. Raises ``UnavailableError`` without a database."""

    async def begin(self, intent: Intent) -> None:
        """Keep an intent, for good, before the write is made."""
        ...

    async def finish(self, intent_id: str, stored: Stored | None) -> Revision | None:
        """The write was made; None when it changed nothing. Doing it twice does it once."""
        ...

    async def begin_all(self, intents: Sequence[Intent]) -> None:
        """As :meth:`begin`, all or none; of different objects."""
        ...

    async def finish_all(
        self, writes: Sequence[tuple[str, Stored | None]]
    ) -> Sequence[Revision | None]:
        """As :meth:`finish`, all or none; by the ids of their intents."""
        ...

    async def abandon(self, intent_id: str) -> None:
        """The write was certainly not made."""
        ...

    async def observe(self, change: ResourceChange) -> Revision | None:
        """Keep what a watch saw, unless it is known: an open intent with that outcome gives the author."""
        ...

    async def list(self, query: HistoryQuery) -> Sequence[Revision]:
        """Revisions without their documents' bodies being parsed; newest first."""
        ...

    async def get(self, number: int) -> Revision | None:
        """One revision."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """The answer an idempotency key got; ``request`` is the digest of what was asked."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes


class IdempotencyStore(Protocol):
    """Answers by (principal, ``Idempotency-Key``)."""

    async def claim(self, principal: str, key: str, request: str) -> Remembered | None:
        """Reserve the key; the answer when there is one already.

        Raises ``ConflictError`` for another request under the same key (``idempotency_key_reused``) or while the
        first one is still being worked on (``idempotency_key_in_use``). A claim whose process died can be
        claimed again after a minute.
        """
        ...

    async def keep(self, principal: str, key: str, answer: Remembered) -> None:
        """The answer to give from now on."""
        ...

    async def release(self, principal: str, key: str) -> None:
        """Nothing was done: the key may be used again."""
        ...


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One call, also a refused one. Never holds a body, a query's secrets, or a credential.

    ``principal`` is the caller as history names it, empty where nobody knows who called. ``namespaces`` are all
    that can occur in the record: those that the caller saw, its own, the one that the path names. None is
    all of them, or nobody knows: only callers who see everything read such a record. ``status`` is 0 where no
    answer was begun.
    """

    at: dt.datetime
    request_id: str
    principal: str
    method: str
    path: str
    status: int
    error: str
    address: str
    seconds: float
    objects: tuple[str, ...] = ()
    principal_id: str = ""
    organisation: str = ""
    namespaces: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AuditSight:
    """What a caller who is bound to namespaces may read: calls of its organisation, inside these."""

    organisation: str
    namespaces: frozenset[str]


class AuditPlace(NamedTuple):
    """A place in the audit log, by which it is in order."""

    at: dt.datetime
    number: int


ANY_STATUS = (0, 999)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which records: newest first, older than the one at ``after``, at most ``limit``.

    ``sight`` None is everything. ``since`` belongs to the span, ``until`` does not. ``principal`` is the id of
    a credential, ``path`` what a path begins with; empty texts ask for nothing. ``statuses``
    are the lowest and the highest.
    """

    sight: AuditSight | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    principal: str = ""
    method: str = ""
    path: str = ""
    request_id: str = ""
    statuses: tuple[int, int] = ANY_STATUS
    after: AuditPlace | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some records, newest first; ``after`` is where the next page begins, None on the last.

    It may hold fewer than asked for and not be the last: a page looks at so many records and no more.
    """

    records: tuple[AuditRecord, ...]
    after: AuditPlace | None


class AuditLog(Protocol):
    """Where calls are kept."""

    async def record(self, record: AuditRecord) -> None:
        """Keep it. Never raises: a database that is away is told on the log, with the record."""
        ...

    async def page(self, query: AuditQuery) -> AuditPage:
        """What was kept. Raises ``UnavailableError`` without a database."""
        ...
