"""What ``/v2/auth`` reads and writes."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fluxgate_admin.auth.addresses import LOOPBACK
from fluxgate_admin.auth.records import (
    Account,
    IssuedAccount,
    IssuedKey,
    IssuedToken,
    Key,
)
from fluxgate_admin.auth.signing_keys import Replacement
from fluxgate_admin.principal import Principal

_NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""RFC 1123 label, as Kubernetes names namespaces."""

Name = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["ci"])
]
Organisation = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]
Scopes = Annotated[
    list[Annotated[str, Field(max_length=40)]],
    Field(min_length=1, max_length=50, examples=[["routes:write", "plugins:read"]]),
]
Namespaces = Annotated[
    list[Annotated[str, Field(pattern=_NAMESPACE)]] | None,
    Field(
        min_length=1,
        max_length=100,
        description="Where its objects are; null is everywhere.",
        examples=[["shop"]],
    ),
]
Addresses = Annotated[
    list[Annotated[str, Field(max_length=60)]],
    Field(
        min_length=1,
        max_length=64,
        description="Networks it may be used from. 0.0.0.0/0 and ::/0 are everywhere.",
        examples=[["192.0.2.0/24"]],
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewKeyIn(_Strict):
    """A key to be made."""

    name: Name
    scopes: Scopes
    namespaces: Namespaces = None
    allowed_addresses: Addresses = list(LOOPBACK)
    expires_at: AwareDatetime | None = None
    organisation: Organisation | None = Field(
        None, description="The caller's without it; another one takes the scope tenants:admin."
    )


class KeyChangeIn(_Strict):
    """What of a key is to be different."""

    name: Name | None = None
    allowed_addresses: Addresses | None = None
    expires_at: AwareDatetime | None = None


class RotateIn(_Strict):
    """How a key is replaced."""

    overlap_seconds: int = Field(
        3600,
        ge=0,
        le=7 * 24 * 3600,
        description="So long the old key goes on working; 0 ends it now. Both count among the five.",
    )


class KeyOut(BaseModel):
    """A key, without the key."""

    id: str = Field(examples=["key_0f3c7a1e9b2d4c55"])
    organisation: str
    name: str
    prefix: str = Field(examples=["sk_live_"])
    last_four: str = Field(examples=["x7Qa"])
    status: Literal["active", "expired", "revoked"]
    scopes: list[str]
    namespaces: list[str] | None
    allowed_addresses: list[str]
    created_at: dt.datetime
    created_by: str
    rotation_due_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None = Field(description="To five minutes.")
    replaced_by: str | None

    @classmethod
    def of(cls, key: Key, now: dt.datetime) -> Self:
        """As it is now."""
        status: Literal["active", "expired", "revoked"] = "expired"
        if key.revoked_at is not None:
            status = "revoked"
        elif key.active(now):
            status = "active"
        return cls(
            id=key.id,
            organisation=key.organisation,
            name=key.name,
            prefix=key.prefix,
            last_four=key.last_four,
            status=status,
            scopes=sorted(key.scopes),
            namespaces=_names(key.namespaces),
            allowed_addresses=list(key.allowed_addresses),
            created_at=key.created_at,
            created_by=key.created_by,
            rotation_due_at=key.rotation_due_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
            replaced_by=key.replaced_by,
        )


class IssuedKeyOut(KeyOut):
    """A key that was just made. ``key`` and ``signing_secret`` are never shown again."""

    key: str = Field(examples=["sk_live_…"])
    signing_secret: str = Field(examples=["fss_…"])

    @classmethod
    def issued(cls, issued: IssuedKey, now: dt.datetime) -> Self:
        """With its secrets."""
        return cls(
            **KeyOut.of(issued.key, now).model_dump(),
            key=issued.text.reveal().decode(),
            signing_secret=issued.signing_secret.reveal().decode(),
        )


class KeyListOut(BaseModel):
    """A page of keys; `after` is the cursor of the next one, null on the last."""

    data: list[KeyOut]
    has_more: bool
    after: str | None


class NewServiceAccountIn(_Strict):
    """A service account to be made."""

    name: Name
    scopes: Scopes
    namespaces: Namespaces = None
    organisation: Organisation | None = None


class NewClientIn(_Strict):
    """An OAuth2 client to be made; it reads, so its scopes end in ``:read``."""

    name: Name
    scopes: Scopes = Field(examples=[["routes:read", "plugins:read"]])
    namespaces: Namespaces = None
    client_id: str | None = Field(
        None, pattern=r"^[a-z][a-z0-9_-]{2,63}$", examples=["fg_admin_sdk"]
    )
    organisation: Organisation | None = None


class AccountOut(BaseModel):
    """A client or a service account, without its secret."""

    id: str = Field(examples=["sa_0f3c7a1e9b2d4c55"])
    client_id: str = Field(examples=["sa_0f3c7a1e9b2d4c55"])
    organisation: str
    name: str
    last_four: str
    status: Literal["active", "revoked"]
    scopes: list[str]
    namespaces: list[str] | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None

    @classmethod
    def of(cls, account: Account) -> Self:
        """As it is now."""
        return cls(
            id=account.id,
            client_id=account.client_id,
            organisation=account.organisation,
            name=account.name,
            last_four=account.last_four,
            status="active" if account.revoked_at is None else "revoked",
            scopes=sorted(account.scopes),
            namespaces=_names(account.namespaces),
            created_at=account.created_at,
            created_by=account.created_by,
            revoked_at=account.revoked_at,
            last_used_at=account.last_used_at,
        )


class IssuedAccountOut(AccountOut):
    """An account whose secret was just made; it is never shown again."""

    client_secret: str = Field(examples=["fcs_…"])

    @classmethod
    def issued(cls, issued: IssuedAccount) -> Self:
        """With its secret."""
        shown = AccountOut.of(issued.account).model_dump()
        return cls(**shown, client_secret=issued.secret.reveal().decode())


class AccountListOut(BaseModel):
    """A page of accounts; `after` is the cursor of the next one, null on the last."""

    data: list[AccountOut]
    has_more: bool
    after: str | None


class RotateSecretIn(_Strict):
    """How an account's secret is replaced."""

    revoke_tokens: bool = Field(
        default=False, description="End its tokens, too; without it they live until they expire."
    )


class TokenOut(BaseModel):
    """An access token (RFC 6749, 5.1). ``namespace`` is where it may act; null is everywhere."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the word of the standard
    expires_in: int = Field(examples=[3600])
    scope: str = Field(examples=["plugins:read routes:read"])
    namespace: list[str] | None = None

    @classmethod
    def of(cls, issued: IssuedToken) -> Self:
        """With the token."""
        return cls(
            access_token=issued.token.reveal().decode(),
            expires_in=issued.seconds,
            scope=" ".join(sorted(issued.scopes)),
            namespace=_names(issued.namespaces),
        )


class WhoOut(BaseModel):
    """The caller, as this API sees it."""

    id: str
    kind: str = Field(examples=["key"])
    name: str
    organisation: str
    scopes: list[str]
    namespaces: list[str] | None
    address: str | None = Field(description="Where the request came from.")

    @classmethod
    def of(cls, principal: Principal, address: str | None) -> Self:
        """The caller and where it calls from."""
        return cls(
            id=principal.id,
            kind=str(principal.kind),
            name=principal.name,
            organisation=principal.organisation,
            scopes=sorted(principal.scopes),
            namespaces=_names(principal.namespaces),
            address=address,
        )


class ReplaceSigningKeyIn(_Strict):
    """How the key that signs tokens is replaced."""

    revoke: bool = Field(
        default=False, description="Now, and with all that the keys there are have signed."
    )


class SigningKeyOut(BaseModel):
    """The key that signs tokens next."""

    kid: str = Field(examples=["sig_0f3c7a1e9b2d4c55"])
    signs_from: dt.datetime
    revoked: list[str] = Field(description="Keys whose tokens open nothing any more.")

    @classmethod
    def of(cls, replacement: Replacement) -> Self:
        """What was done."""
        return cls(
            kid=replacement.kid,
            signs_from=replacement.signs_from,
            revoked=list(replacement.revoked),
        )


class JwksOut(BaseModel):
    """Keys that tokens are verified with (RFC 7517)."""

    keys: list[dict[str, str]]


def _names(namespaces: frozenset[str] | None) -> list[str] | None:
    return None if namespaces is None else sorted(namespaces)
