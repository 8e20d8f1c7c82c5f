"""Credentials: keys and their nonces, accounts and their tokens, the keys that sign tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_JSON = sa.JSON()


def upgrade() -> None:
    """Make the tables."""
    _keys()
    _accounts()
    op.create_table(
        "admin_signing_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("public_key", _JSON, nullable=False),
        sa.Column("private_key", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_admin_signing_keys"),
    )


def _keys() -> None:
    op.create_table(
        "admin_keys",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("organisation", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("prefix", sa.String(40), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("signing_secret", sa.Text(), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("namespaces", _JSON, nullable=True),
        sa.Column("allowed_addresses", _JSON, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.String(300), nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("replaced_by", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admin_keys"),
        sa.UniqueConstraint("hash", name="uq_admin_keys_hash"),
        sa.UniqueConstraint("organisation", "slot", name="uq_admin_keys_organisation_slot"),
    )
    op.create_index("ix_admin_keys_organisation", "admin_keys", ["organisation"])
    op.create_table(
        "admin_nonces",
        sa.Column("key_id", sa.String(40), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "nonce", name="pk_admin_nonces"),
        sa.ForeignKeyConstraint(
            ["key_id"],
            ["admin_keys.id"],
            name="fk_admin_nonces_key_id_admin_keys",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_admin_nonces_expires_at", "admin_nonces", ["expires_at"])


def _accounts() -> None:
    op.create_table(
        "admin_accounts",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("client_id", sa.String(64), nullable=False),
        sa.Column("organisation", sa.String(100), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("scopes", _JSON, nullable=False),
        sa.Column("namespaces", _JSON, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("created_by", sa.String(300), nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admin_accounts"),
        sa.UniqueConstraint("secret_hash", name="uq_admin_accounts_secret_hash"),
    )
    op.create_index(
        "uq_admin_accounts_organisation_client_id",
        "admin_accounts",
        ["organisation", "client_id"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "admin_tokens",
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("account_id", sa.String(40), nullable=False),
        sa.Column("family", sa.String(40), nullable=False),
        sa.Column("family_at", _TIME, nullable=False),
        sa.Column("issued_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_admin_tokens"),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["admin_accounts.id"],
            name="fk_admin_tokens_account_id_admin_accounts",
            ondelete="CASCADE",
        ),
    )
    for column in ("account_id", "family", "expires_at"):
        op.create_index(f"ix_admin_tokens_{column}", "admin_tokens", [column])


def downgrade() -> None:
    """Drop them, with what is in them."""
    for table in ("admin_tokens", "admin_accounts", "admin_nonces", "admin_keys"):
        op.drop_table(table)
    op.drop_table("admin_signing_keys")
