"""History, idempotency and audit, as they are kept. No column holds a secret in a readable form."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, Dialect, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from fluxgate_admin.db.base import Table, UtcTime

Number = BigInteger().with_variant(Integer, "sqlite")
"""A row's number; only ``INTEGER`` counts by itself in SQLite."""


class Words(TypeDecorator[str]):
    """Text that callers choose: what PostgreSQL cannot keep (NUL, lone surrogates) becomes ``?``."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """As both databases can keep it."""
        del dialect
        if value is None:
            return None
        return value.replace("\0", "?").encode("utf-8", "replace").decode()


class RevisionRow(Table):
    """One accepted change. ``intent`` is the id of the write that announced it, so it is kept once."""

    __tablename__ = "history_revisions"
    __table_args__ = (
        Index("ix_history_revisions_object", "kind", "namespace", "name", "number"),
        Index("ix_history_revisions_namespace_number", "namespace", "number"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    kind: Mapped[str] = mapped_column(String(63))
    namespace: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(253))
    change: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(Words)
    reason: Mapped[str] = mapped_column(Words)
    request_id: Mapped[str] = mapped_column(Words)
    via: Mapped[str] = mapped_column(String(16))
    at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    intent: Mapped[str | None] = mapped_column(String(64), unique=True)


class HeadRow(Table):
    """The newest kept state of an object: ``number`` is its revision, ``document`` None once it is deleted.

    ``version`` is that of the place the object is kept in; empty when nobody knows it.
    """

    __tablename__ = "history_heads"

    kind: Mapped[str] = mapped_column(String(63), primary_key=True)
    namespace: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    number: Mapped[int] = mapped_column(Number, index=True)
    digest: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(Text)
    document: Mapped[str | None] = mapped_column(Text)


class IntentRow(Table):
    """A write that is being made. ``base`` is the number of the object's newest revision as it began."""

    __tablename__ = "history_intents"
    __table_args__ = (Index("ix_history_intents_object", "kind", "namespace", "name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(63))
    namespace: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(253))
    author: Mapped[str] = mapped_column(Words)
    reason: Mapped[str] = mapped_column(Words)
    request_id: Mapped[str] = mapped_column(Words)
    at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    base: Mapped[int] = mapped_column(Number)


class AnswerRow(Table):
    """What an idempotency key got. ``id`` is a digest of principal and key; ``answer`` is sealed.

    Sealed, because an answer may hold a key that is shown once.
    """

    __tablename__ = "idempotency_answers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    request: Mapped[str] = mapped_column(Text)
    claimed_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    answer: Mapped[str | None] = mapped_column(Text)


class AuditRow(Table):
    """One call of the admin API, also a refused one.

    ``namespaces`` is every one that can occur in it, ``/a//b/``; NULL where only who sees everything may read it:
    also in rows from before there was this column. What is read by who does not has an index of its own.
    """

    __tablename__ = "audit_records"
    __table_args__ = (
        Index("ix_audit_records_at_number", "at", "number"),
        Index("ix_audit_records_principal", "principal_id", "at", "number"),
        Index("ix_audit_records_request_id", "request_id"),
        Index(
            "ix_audit_records_organisation",
            *("organisation", "at", "number"),
            sqlite_where=text("namespaces IS NOT NULL"),
            postgresql_where=text("namespaces IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(UtcTime)
    request_id: Mapped[str] = mapped_column(Words)
    principal: Mapped[str] = mapped_column(Words)
    method: Mapped[str] = mapped_column(Words)
    path: Mapped[str] = mapped_column(Words)
    status: Mapped[int]
    error: Mapped[str] = mapped_column(Words)
    address: Mapped[str] = mapped_column(Words)
    seconds: Mapped[float]
    objects: Mapped[str] = mapped_column(Text)
    principal_id: Mapped[str | None] = mapped_column(Words)
    organisation: Mapped[str | None] = mapped_column(Words)
    namespaces: Mapped[str | None] = mapped_column(Text)
