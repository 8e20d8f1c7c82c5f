"""Credentials, as they are kept. No column holds a secret that can be read without a master key."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxgate_admin.db.base import Table, UtcTime


class AdminKey(Table):
    """A key of this API (``sk_live_…``).

    ``slot`` is 1 to 5 while the key is active: the constraint over it is what keeps an organisation
    at five, however many replicas create keys at once.
    """

    __tablename__ = "admin_keys"
    __table_args__ = (UniqueConstraint("organisation", "slot"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    organisation: Mapped[str] = mapped_column(String(100), index=True)
    name: Mapped[str] = mapped_column(String(100))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    prefix: Mapped[str] = mapped_column(String(40))
    last_four: Mapped[str] = mapped_column(String(4))
    signing_secret: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    namespaces: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    allowed_addresses: Mapped[list[str]] = mapped_column(JSON)
    slot: Mapped[int | None]
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    created_by: Mapped[str] = mapped_column(String(300))
    expires_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    last_used_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    replaced_by: Mapped[str | None] = mapped_column(String(40))


class AdminNonce(Table):
    """A nonce that was used; kept for as long as its signature would be taken."""

    __tablename__ = "admin_nonces"

    key_id: Mapped[str] = mapped_column(
        ForeignKey("admin_keys.id", ondelete="CASCADE"), primary_key=True
    )
    nonce: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)


class AdminAccount(Table):
    """An OAuth2 client or a service account: both get tokens for their secret.

    A ``client_id`` belongs to one that is not revoked; after that another may have it.
    """

    __tablename__ = "admin_accounts"
    __table_args__ = (
        Index(
            "uq_admin_accounts_organisation_client_id",
            "organisation",
            "client_id",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    client_id: Mapped[str] = mapped_column(String(64))
    organisation: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(100))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    namespaces: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    created_by: Mapped[str] = mapped_column(String(300))
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    last_used_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class AdminToken(Table):
    """A token that was issued, without the token: what revokes it before it expires.

    ``family`` is the first token of a chain of rotations, ``family_at`` when that one was issued.
    """

    __tablename__ = "admin_tokens"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[str] = mapped_column(
        ForeignKey("admin_accounts.id", ondelete="CASCADE"), index=True
    )
    family: Mapped[str] = mapped_column(String(40), index=True)
    family_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    issued_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    expires_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class AdminSigningKey(Table):
    """A key that signs tokens: the public half as a JWK, the private half encrypted."""

    __tablename__ = "admin_signing_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    public_key: Mapped[dict[str, str]] = mapped_column(JSON)
    private_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
