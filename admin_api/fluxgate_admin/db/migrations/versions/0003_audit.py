"""The audit log can be read: whose call it was, and which namespaces occur in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "audit_records"
_COLUMNS = ("principal_id", "organisation", "namespaces")
_OWNED = sa.text("namespaces IS NOT NULL")


def upgrade() -> None:
    """Add columns and indexes. Rows that are there stay nobody's: which namespaces they name was not kept."""
    for name in _COLUMNS:
        op.add_column(_TABLE, sa.Column(name, sa.Text))
    _name_callers()
    op.drop_index("ix_audit_records_at", _TABLE)
    op.create_index("ix_audit_records_at_number", _TABLE, ["at", "number"])
    op.create_index("ix_audit_records_principal", _TABLE, ["principal_id", "at", "number"])
    op.create_index("ix_audit_records_request_id", _TABLE, ["request_id"])
    op.create_index(
        "ix_audit_records_organisation",
        _TABLE,
        ["organisation", "at", "number"],
        sqlite_where=_OWNED,
        postgresql_where=_OWNED,
    )


def downgrade() -> None:
    """Take columns and indexes away again; the calls stay."""
    for name in ("organisation", "request_id", "principal", "at_number"):
        op.drop_index(f"ix_audit_records_{name}", _TABLE)
    op.create_index("ix_audit_records_at", _TABLE, ["at"])
    for name in _COLUMNS:
        op.drop_column(_TABLE, name)


def _name_callers() -> None:
    """``key:ci (key_1)`` has the id ``key_1``: what is behind the last bracket that opens, without the one that closes.

    ``rtrim`` takes everything from the end that is no opening bracket, on both databases.
    """
    op.execute(
        "UPDATE audit_records SET principal_id = rtrim(substr(principal, "
        "length(rtrim(principal, replace(principal, '(', ''))) + 1), ')') WHERE principal <> ''"
    )
