"""Issuers of JSON Web Tokens, and which of them a route trusts."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy, Shared
from fluxgate.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class RemoteJwks:
    """Keys that Envoy fetches from ``uri`` through ``cluster``, and again every ``refresh_ms``."""

    cluster: str
    uri: str
    timeout_ms: int
    refresh_ms: int


@dataclass(frozen=True, slots=True)
class LocalJwks:
    """Keys in place, as the JSON of RFC 7517; every one with its ``alg``."""

    document: SecretBytes


@dataclass(frozen=True, slots=True)
class TokenSource:
    """The one place a token is read from: a header behind ``prefix``, a cookie, or a query parameter.

    ``kind`` is ``header``, ``cookie`` or ``query``.
    """

    kind: str
    name: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claims say who the caller is; empty for none. A dot leads into an object."""

    subject: str = "sub"
    tenant: str = ""
    workspace: str = ""
    role: str = ""
    plan: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("scope", "scp")
    privilege_domains: tuple[str, ...] = ()
    sub_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JwtProvider(Shared):
    """One issuer. Its ``name`` is ``<policy>/<provider>``.

    ``tenant`` and ``plan`` stand for claims that a token does not have. ``headers`` are (claim, header).
    ``cached`` is how many verified tokens each worker remembers.
    """

    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    jwks: RemoteJwks | LocalJwks
    source: TokenSource
    clock_skew_s: int = 60
    require_expiration: bool = True
    max_lifetime_s: int = 0
    forward: bool = False
    cached: int = 0
    claims: ClaimNames = ClaimNames()
    tenant: str = ""
    plan: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JwtRequirement(Shared):
    """The ``providers`` of one policy: a token of any of them will do."""

    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JwtAuth(RoutePolicy):
    """Which requirement a route has, where it takes tokens at all."""

    requirement: str
    providers: tuple[str, ...]
