"""Logins at an OpenID provider."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy, Shared
from fluxgate.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class OidcClient(Shared):
    """The secrets of one client: its own, and what cookies are signed and encrypted with."""

    client_secret: SecretBytes
    cookie_secret: SecretBytes


@dataclass(frozen=True, slots=True)
class OidcProvider:
    """Who is asked: the provider's name, and where it answers. ``cluster`` leads to the token endpoint."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    cluster: str
    end_session_endpoint: str = ""


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """Which claims of the ID token say who the user is; empty for none."""

    subject: str = "sub"
    tenant: str = ""
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Oidc(RoutePolicy):
    """A login. ``client`` is the name of an :class:`OidcClient`; it also tells cookies apart.

    ``forward`` is the token that the upstream gets: ``AccessToken``, ``IdToken`` or ``None``.
    ``redirect_hosts`` are where a login may lead back to; empty means any.
    """

    client: str
    client_id: str
    provider: OidcProvider
    scopes: tuple[str, ...]
    callback_path: str
    logout_path: str
    origin: str = ""
    """Scheme, host and port that browsers use; empty for what the request says."""
    basic_authentication: bool = True
    forward: str = "None"
    refresh: bool = True
    refresh_lifetime_ms: int = 604_800_000
    cookie_domain: str = ""
    same_site: str = "Lax"
    redirect_hosts: tuple[str, ...] = ()
    claims: SessionClaims = SessionClaims()
    tenant: str = ""
    """The tenant of users whose token names none."""
