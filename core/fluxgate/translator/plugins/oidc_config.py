"""The config of ``oidc``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Duration, ExactHostname, HttpUrl
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.translator.plugins.jwt_auth_config import ClaimName, HttpsUrl

Issuer = Annotated[
    str, StringConstraints(pattern=r"^https://[^\x00-\x20\x7f?#]+$", max_length=1024)
]
ClientId = Annotated[
    str, StringConstraints(pattern=r"^[\x21-\x7e]+$", min_length=1, max_length=256)
]
LoginPath = Annotated[
    str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~-]+)+$", min_length=2, max_length=256)
]
OAuthScope = Annotated[
    str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$", max_length=256)
]
Claims = Annotated[tuple[ClaimName, ...], Field(max_length=8)]


class OidcClaims(Model):
    """Which claims of the ID token say who the user is. A dot leads into an object."""

    subject: ClaimName = "sub"
    tenant: ClaimName | None = Field(
        default=None, description="Without it, users belong to the tenant of the route."
    )
    roles: Claims = ()
    scopes: Claims = ()


class OidcConfig(Model):
    """The config of ``oidc``; endpoints as in ``<issuer>/.well-known/openid-configuration``."""

    issuer: Issuer = Field(description="What the claim iss of its ID tokens has to be.")
    authorization_endpoint: HttpsUrl = Field(description="Where browsers are sent to log in.")
    token_endpoint: HttpsUrl = Field(description="Where the gateway exchanges codes for tokens.")
    end_session_endpoint: HttpsUrl | None = Field(
        default=None, description="Where browsers are sent after a logout, to end it there, too."
    )
    backend: BackendRef | None = Field(
        default=None,
        description="How the token endpoint is reached, where not directly by its URL: a Service, "
        "or a Backend with a certificate authority of its own.",
    )
    client_id: ClientId
    client_secret_ref: SecretRef = Field(
        description="Secret with client-secret, and if wanted cookie-secret, which signs and "
        "encrypts cookies; else that is derived from the client's secret."
    )
    client_authentication: Literal["ClientSecretBasic", "ClientSecretPost"] = Field(
        default="ClientSecretBasic", description="How the gateway proves itself to the provider."
    )
    scopes: Annotated[tuple[OAuthScope, ...], Field(min_length=1, max_length=32)] = ("openid",)
    callback_path: LoginPath = Field(
        default="/oauth2/callback",
        description="Where the provider sends browsers back to. A route with this policy has to "
        "match it, and the provider has to know it as redirect URI.",
    )
    logout_path: LoginPath = Field(
        default="/oauth2/logout", description="Ends the session; a route has to match it, too."
    )
    public_origin: HttpUrl | None = Field(
        default=None,
        description="Scheme, host and port as browsers know them, where that is not the host of the "
        "request on the standard port of its scheme: https://app.example.com:8443",
    )
    forward_token: Literal["None", "AccessToken", "IdToken"] = Field(
        default="None", description="Which token the upstream gets as Authorization: Bearer."
    )
    refresh: bool = Field(
        default=True, description="Whether sessions go on by refresh tokens, without a new login."
    )
    refresh_lifetime: Duration = Field(
        default="168h", description="How long without any request a session can be taken up again."
    )
    cookie_domain: ExactHostname | None = Field(
        default=None, description="A domain whose hosts share the session; else the host alone."
    )
    same_site: Literal["Lax", "None"] = Field(
        default="Lax", description="None also sends cookies from pages of other sites."
    )
    claims: OidcClaims = OidcClaims()

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "scopes",
            "openid is needed: without it there is no ID token to say who the user is",
            "!has(self.scopes) || 'openid' in self.scopes",
            lambda self: "openid" in self.scopes,
        ),
        Rule(
            "logoutPath",
            "must differ from callbackPath",
            "self.logoutPath != self.callbackPath",
            lambda self: self.logout_path != self.callback_path,
        ),
        Rule(
            "refreshLifetime",
            "must be 1s or more",
            "duration(self.refreshLifetime) >= duration('1s')",
            lambda self: duration_ms(self.refresh_lifetime) >= 1000,
        ),
    )
