"""Logins: Envoy's oauth2 filter, whole for every route, and the secrets it gets by SDS.

Each policy has cookies of its own, told apart by a hash of its name. They are bound to the host
(``__Host-``) unless the policy shares them over a domain; all are ``Secure`` and ``HttpOnly``.
Whose session it is says the filter behind this one (:mod:`fluxgate.xds.httpfilters.oidc_session`).

Protos: envoy.extensions.filters.http.oauth2.v3.{OAuth2,OAuth2Config},
envoy.extensions.transport_sockets.tls.v3.Secret.
"""

from __future__ import annotations

import hashlib

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.oauth2.v3 import oauth_pb2 as oauth2_v3
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.oidc import Oidc, OidcClient
from fluxgate.secret import SecretBytes
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.credential_classes import may_be_missing
from fluxgate.xds.proto import ads, boolean, duration, payload_of
from fluxgate.xds.wire import field_bytes

TOKEN_TIMEOUT_MS = 10_000
_ORIGIN = "%REQ(x-forwarded-proto)%://%REQ(:authority)%"
_ORIGINAL_REQUEST_URI, _ALLOWED_REDIRECT_DOMAINS, _FORWARD_ID_TOKEN = 28, 29, 31
_ALLOW_FAILED_MATCHER = 27
"""Fields of OAuth2Config in Envoy 1.40 that the proto package does not know yet."""

SESSION_COOKIES = ("oauth-hmac", "oauth-expires", "bearer-token", "id-token", "refresh-token")
"""The cookies of a session, behind its prefix. A login that is under way has others, too."""

_SAME_SITE = {
    "Lax": oauth2_v3.CookieConfig.SameSite.LAX,
    "None": oauth2_v3.CookieConfig.SameSite.NONE,
}


def build_login(route: HTTPRoute, login: Oidc) -> oauth2_v3.OAuth2:
    """The filter's configuration on ``route``."""
    config = build_oauth2(login)
    if may_be_missing(route, "OIDC"):
        access = route.policy(Access)
        _let_others_pass(config, required=access is None or access.required)
    return oauth2_v3.OAuth2(config=config)


def build_login_secrets(gateway: Gateway) -> tuple[SnapshotResource, ...]:
    """The secrets of every client, for SDS."""
    return tuple(
        _secret(client, kind, value)
        for client in gateway.shared_of(OidcClient)
        for kind, value in (("client", client.client_secret), ("cookies", client.cookie_secret))
    )


def cookie_prefix(login: Oidc) -> str:
    """What the names of a policy's cookies begin with."""
    digest = hashlib.sha256(login.client.encode()).hexdigest()[:8]
    return f"{'__Secure-' if login.cookie_domain else '__Host-'}fluxgate-{digest}-"


def build_oauth2(login: Oidc) -> oauth2_v3.OAuth2Config:
    """The ``OAuth2Config`` of a login. PKCE needs no setting: Envoy always uses it, with S256."""
    provider = login.provider
    config = oauth2_v3.OAuth2Config(
        authorization_endpoint=provider.authorization_endpoint,
        end_session_endpoint=provider.end_session_endpoint,
        redirect_uri=f"{login.origin or _ORIGIN}{login.callback_path}",
        auth_scopes=login.scopes,
        auth_type=oauth2_v3.OAuth2Config.BASIC_AUTH
        if login.basic_authentication
        else oauth2_v3.OAuth2Config.URL_ENCODED_BODY,
        forward_bearer_token=login.forward == "AccessToken",
        use_refresh_token=boolean(login.refresh),
        default_refresh_token_expires_in=duration(login.refresh_lifetime_ms),
        deny_redirect_matcher=_scripts(),
        stat_prefix="oidc",
    )
    config.token_endpoint.uri = provider.token_endpoint
    config.token_endpoint.cluster = provider.cluster
    config.token_endpoint.timeout.CopyFrom(duration(TOKEN_TIMEOUT_MS))
    config.redirect_path_matcher.path.exact = login.callback_path
    config.signout_path.path.exact = login.logout_path
    _set_credentials(config, login)
    _set_same_site(config, login)
    config.MergeFromString(_newer_fields(login))
    return config


def _newer_fields(login: Oidc) -> bytes:
    header = field_bytes(1, names.ID_TOKEN_HEADER.encode())
    domains = [
        field_bytes(_ALLOWED_REDIRECT_DOMAINS, each.encode()) for each in login.redirect_hosts
    ]
    return b"".join(
        (
            field_bytes(_ORIGINAL_REQUEST_URI, (login.origin or _ORIGIN).encode()),
            *domains,
            field_bytes(_FORWARD_ID_TOKEN, header),
        )
    )


def _set_credentials(config: oauth2_v3.OAuth2Config, login: Oidc) -> None:
    credentials, prefix = config.credentials, cookie_prefix(login)
    credentials.client_id = login.client_id
    credentials.token_secret.name = _secret_name(login.client, "client")
    credentials.token_secret.sds_config.CopyFrom(ads())
    credentials.hmac_secret.name = _secret_name(login.client, "cookies")
    credentials.hmac_secret.sds_config.CopyFrom(ads())
    credentials.cookie_domain = login.cookie_domain
    for field in oauth2_v3.OAuth2Credentials.CookieNames.DESCRIPTOR.fields:
        setattr(credentials.cookie_names, field.name, prefix + field.name.replace("_", "-"))


def _set_same_site(config: oauth2_v3.OAuth2Config, login: Oidc) -> None:
    for field in oauth2_v3.CookieConfigs.DESCRIPTOR.fields:
        getattr(config.cookie_configs, field.name).same_site = _SAME_SITE[login.same_site]


def _scripts() -> list[route_v3.HeaderMatcher]:
    """Requests that no person waits for get 401, not a redirect to a page they cannot show."""
    by_fetch = route_v3.HeaderMatcher(name="sec-fetch-mode")
    by_fetch.string_match.safe_regex.regex = "cors|no-cors|same-origin|websocket"
    by_xhr = route_v3.HeaderMatcher(name="x-requested-with")
    by_xhr.string_match.exact = "XMLHttpRequest"
    grpc = route_v3.HeaderMatcher(name="content-type")
    grpc.string_match.prefix = "application/grpc"
    return [by_fetch, by_xhr, grpc]


def _let_others_pass(config: oauth2_v3.OAuth2Config, *, required: bool) -> None:
    """Requests with a credential of another class, or without any, are the access filter's."""
    matchers = [
        route_v3.HeaderMatcher(name=name, present_match=True)
        for name in ("authorization", *names.CREDENTIAL_HEADERS)
    ]
    config.pass_through_matcher.extend(matchers)
    if not required:
        anything = route_v3.HeaderMatcher(name=":method", present_match=True)
        config.MergeFromString(field_bytes(_ALLOW_FAILED_MATCHER, payload_of(anything)))


def _secret_name(client: str, kind: str) -> str:
    return f"oidc/{client}/{kind}"


def _secret(client: OidcClient, kind: str, value: SecretBytes) -> SnapshotResource:
    message = secret_v3.Secret(name=_secret_name(client.name, kind))
    message.generic_secret.secret.inline_bytes = value.reveal()
    return SnapshotResource.of(
        typeurl.SECRET, message.name, payload_of(message), origins=(client.origin,)
    )
