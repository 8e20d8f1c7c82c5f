"""API keys, and what a key may do."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.resources import ObjectRef


@dataclass(frozen=True, slots=True)
class ApiKeyIR:
    """One key as the proxy needs it. ``expires_at`` is seconds since the epoch, 0 for never.

    Revoked keys and keys of suspended tenants are not in the table at all.
    """

    origin: ObjectRef
    sha256: str
    key_id: str
    tenant: str = ""
    workspace: str = ""
    subject: str = ""
    role: str = ""
    audience: str = ""
    scopes: tuple[str, ...] = ()
    plan: str = ""
    expires_at: int = 0
    allowed_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKeyTable:
    """Every key of a gateway, sorted by digest, and the prefixes that mark a key."""

    prefixes: tuple[str, ...]
    keys: tuple[ApiKeyIR, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyAuth:
    """What a route asks of an API key.

    ``required`` refuses requests without one (401). ``query`` also accepts
    ``?apikey=`` (realtime routes only). ``scopes``, ``audiences`` and ``tenants`` are
    checked after verification (403): all scopes, one of the audiences, one of the
    tenants; empty means any. ``deferred`` verifies alone: the route takes other credentials too, and
    its :class:`~fluxgate.ir.policies.access.Access` says what is asked of all.
    """

    required: bool = True
    query: bool = False
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class PlanBucket:
    """The token bucket each key of a plan gets: ``burst`` tokens, ``requests`` a window."""

    name: str
    requests: int
    window_ms: int
    burst: int
