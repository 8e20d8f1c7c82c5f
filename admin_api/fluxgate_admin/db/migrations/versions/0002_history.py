"""History, idempotency and audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables."""
    _history()
    op.create_table(
        "idempotency_answers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("claimed_at", _TIME, nullable=False),
        sa.Column("answer", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_answers"),
    )
    op.create_index("ix_idempotency_answers_claimed_at", "idempotency_answers", ["claimed_at"])
    op.create_table(
        "audit_records",
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        *_texts("request_id", "principal", "method", "path"),
        sa.Column("status", sa.Integer, nullable=False),
        *_texts("error", "address"),
        sa.Column("seconds", sa.Double, nullable=False),
        *_texts("objects"),
        sa.PrimaryKeyConstraint("number", name="pk_audit_records"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_records_at", "audit_records", ["at"])


def downgrade() -> None:
    """Drop the tables, and with them what they hold; keys and accounts stay."""
    for table in (
        "audit_records",
        "idempotency_answers",
        "history_intents",
        "history_heads",
        "history_revisions",
    ):
        op.drop_table(table)


def _history() -> None:
    op.create_table(
        "history_revisions",
        sa.Column("number", _NUMBER, nullable=False),
        *_object(),
        sa.Column("change", sa.String(16), nullable=False),
        *_texts("author", "reason", "request_id"),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("intent", sa.String(64)),
        sa.PrimaryKeyConstraint("number", name="pk_history_revisions"),
        sa.UniqueConstraint("intent", name="uq_history_revisions_intent"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "history_heads",
        *_object(),
        sa.Column("number", _NUMBER, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        *_texts("version"),
        sa.Column("document", sa.Text),
        sa.PrimaryKeyConstraint("kind", "namespace", "name", name="pk_history_heads"),
    )
    op.create_table(
        "history_intents",
        sa.Column("id", sa.String(64), nullable=False),
        *_object(),
        *_texts("author", "reason", "request_id"),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("base", _NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_history_intents"),
    )
    place = ["kind", "namespace", "name"]
    op.create_index("ix_history_revisions_object", "history_revisions", [*place, "number"])
    op.create_index(
        "ix_history_revisions_namespace_number", "history_revisions", ["namespace", "number"]
    )
    op.create_index("ix_history_revisions_at", "history_revisions", ["at"])
    op.create_index("ix_history_heads_number", "history_heads", ["number"])
    op.create_index("ix_history_intents_object", "history_intents", place)
    op.create_index("ix_history_intents_at", "history_intents", ["at"])


def _object() -> tuple[sa.Column[str], ...]:
    return (
        sa.Column("kind", sa.String(63), nullable=False),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
    )


def _texts(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.Text, nullable=False) for name in names)
