"""Credentials as the use of them sees them: no secrets, no rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fluxgate.secret import SecretBytes

MAX_ACTIVE_KEYS = 5
"""Active keys of one organisation."""
ROTATION = dt.timedelta(days=90)
"""After this long a key is due to be replaced; it goes on working, and every answer says so."""

USED_EVERY = dt.timedelta(minutes=5)
"""``last_used_at`` is this coarse, so that reads seldom write."""

Clock = Callable[[], dt.datetime]
"""The time, aware, in UTC."""


class AccountKind(StrEnum):
    """Who gets tokens for a secret."""

    CLIENT = "client"
    """An OAuth2 client: it reads."""
    SERVICE_ACCOUNT = "service_account"
    """A service account: what its scopes say, in its namespaces."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of this API, without the key."""

    id: str
    organisation: str
    name: str
    prefix: str
    last_four: str
    scopes: frozenset[str]
    namespaces: frozenset[str] | None
    allowed_addresses: tuple[str, ...]
    created_at: dt.datetime
    created_by: str
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None
    replaced_by: str | None

    @property
    def rotation_due_at(self) -> dt.datetime:
        """When it should have been replaced."""
        return self.created_at + ROTATION

    def active(self, now: dt.datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key that was just made: the only moment at which it can be read."""

    key: Key
    text: SecretBytes
    signing_secret: SecretBytes


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it is asked for. ``organisation`` empty: the caller's. ``namespaces`` None: all."""

    name: str
    scopes: frozenset[str]
    namespaces: frozenset[str] | None = None
    allowed_addresses: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    expires_at: dt.datetime | None = None
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What of a key can be changed without replacing it; None leaves it as it is."""

    name: str | None = None
    allowed_addresses: tuple[str, ...] | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A client or a service account, without its secret."""

    id: str
    kind: AccountKind
    client_id: str
    organisation: str
    name: str
    last_four: str
    scopes: frozenset[str]
    namespaces: frozenset[str] | None
    created_at: dt.datetime
    created_by: str
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account as it is asked for; ``client_id`` empty: its id."""

    kind: AccountKind
    name: str
    scopes: frozenset[str]
    namespaces: frozenset[str] | None = None
    client_id: str = ""
    organisation: str = ""


@dataclass(frozen=True, slots=True)
class IssuedAccount:
    """An account and its secret, which can be read only now."""

    account: Account
    secret: SecretBytes


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token; ``seconds`` until it expires."""

    token: SecretBytes
    seconds: int
    scopes: frozenset[str]
    namespaces: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Page:
    """Where a list goes on: after this id, at most so many."""

    after: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request shows of who sends it. ``headers`` have lower-case names, in order.

    ``path`` and ``query`` are as they are on the wire (undecodable bytes as surrogates). ``namespace`` is
    the one the caller names: a token of the cluster's acts in that one.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    peer: str | None
    body: bytes = b""
    namespace: str = ""

    @property
    def writes(self) -> bool:
        """Whether HTTP calls the method safe (RFC 9110, 9.2.1)."""
        return self.method.upper() not in {"GET", "HEAD", "OPTIONS"}

    def values(self, name: str) -> list[str]:
        """Every value of one header."""
        return [value for key, value in self.headers if key == name]
