"""``oidc``: people log in at an OpenID provider; the gateway keeps the session in cookies.

The authorization code flow with PKCE (RFC 7636). Tokens never reach pages: cookies hold them
encrypted. Nothing is fetched from the provider here, so its endpoints stand in the config.
"""

from __future__ import annotations

import hashlib
import hmac

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.base import split_url
from fluxgate.api.v1alpha1.matching import PathMatch
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir.policies.oidc import Oidc, OidcClient, OidcProvider, SessionClaims
from fluxgate.secret import SecretBytes
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.oidc_config import OidcConfig

CLIENT_SECRET, COOKIE_SECRET = "client-secret", "cookie-secret"
_SHORTEST_COOKIE_SECRET = 32


def _apply(policies: Policies, config: OidcConfig, context: Context) -> Policies:
    _require_way_back(config, context)
    login = Oidc(
        client=context.name,
        client_id=config.client_id,
        provider=_provider(config, context),
        scopes=config.scopes,
        callback_path=config.callback_path,
        logout_path=config.logout_path,
        basic_authentication=config.client_authentication == "ClientSecretBasic",
        origin=(config.public_origin or "").rstrip("/"),
        forward=config.forward_token,
        refresh=config.refresh,
        refresh_lifetime_ms=duration_ms(config.refresh_lifetime),
        cookie_domain=config.cookie_domain or "",
        same_site=config.same_site,
        redirect_hosts=_redirect_hosts(config, context),
        claims=SessionClaims(
            config.claims.subject,
            config.claims.tenant or "",
            config.claims.roles,
            config.claims.scopes,
        ),
        tenant=context.tenant.name if context.tenant else "",
    )
    return policies.verifying("OIDC").adding(login, shared=(_client(config, context),))


def _redirect_hosts(config: OidcConfig, context: Context) -> tuple[str, ...]:
    if config.public_origin is not None:
        return (split_url(config.public_origin)[1],)
    hosts = context.route.spec.hosts
    return () if "*" in hosts else hosts


def _provider(config: OidcConfig, context: Context) -> OidcProvider:
    scheme, _, rest = config.token_endpoint.partition("://")
    backend = config.backend or BackendRef(url=f"{scheme}://{rest.partition('/')[0]}")
    return OidcProvider(
        config.issuer,
        config.authorization_endpoint,
        config.token_endpoint,
        context.cluster(backend, "config.backend" if config.backend else "config.tokenEndpoint"),
        config.end_session_endpoint or "",
    )


def _client(config: OidcConfig, context: Context) -> OidcClient:
    path = "config.clientSecretRef"
    secret = context.secret(config.client_secret_ref, path, CLIENT_SECRET)
    if not secret.reveal().strip():
        raise PolicyError(path, f"Secret {config.client_secret_ref.name}: {CLIENT_SECRET} is empty")
    trimmed = SecretBytes(secret.reveal().strip())
    given = context.optional_secret(config.client_secret_ref, path, COOKIE_SECRET)
    if given is None:
        return OidcClient(context.name, context.owner, trimmed, _derived(trimmed, context.name))
    if len(given.reveal()) < _SHORTEST_COOKIE_SECRET:
        raise PolicyError(
            path,
            f"Secret {config.client_secret_ref.name}: {COOKIE_SECRET} has "
            f"{len(given.reveal())} bytes; {_SHORTEST_COOKIE_SECRET} are needed",
        )
    return OidcClient(context.name, context.owner, trimmed, given)


def _derived(secret: SecretBytes, name: str) -> SecretBytes:
    """A secret for cookies: the same in every replica, another for every policy."""
    label = f"fluxgate oidc cookies of {name}".encode()
    digest = hmac.new(secret.reveal(), label, hashlib.sha256).hexdigest()
    return SecretBytes(digest.encode())


def _require_way_back(config: OidcConfig, context: Context) -> None:
    """A login of one route alone has to end at that route; of a Plugin's, any of several may do."""
    if context.owner.kind != "Route":
        return
    for field, path in (("callbackPath", config.callback_path), ("logoutPath", config.logout_path)):
        if not any(_covers(match.path, path) for match in context.route.spec.matches):
            raise PolicyError(
                f"config.{field}",
                f"no match of this route covers {path}; put it below the route's path",
            )


def _covers(match: PathMatch, path: str) -> bool:
    match match.type:
        case "Exact":
            return match.value == path
        case "Prefix":
            prefix = match.value.rstrip("/")
            return path == prefix or path.startswith(f"{prefix}/")
        case _:
            return True


POLICY = PolicyType(
    "oidc",
    OidcConfig,
    _apply,
    summary="Sends browsers to log in at an OpenID provider, and keeps their session in cookies.",
    example=(
        "issuer: https://login.example.com\n"
        "authorizationEndpoint: https://login.example.com/authorize\n"
        "tokenEndpoint: https://login.example.com/token\n"
        "endSessionEndpoint: https://login.example.com/logout\n"
        "clientId: site\n"
        "clientSecretRef: {name: site-login}\n"
        "scopes: [openid, email]\n"
        "callbackPath: /app/callback\n"
        "logoutPath: /app/logout\n"
    ),
    errors=(
        (302, "a browser without a session asks for a page; it is sent to the provider"),
        (401, "the login failed, or a script asks without a session"),
        (403, "the ID token is of another issuer, or for another client"),
    ),
)
