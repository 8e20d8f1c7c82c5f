"""The config of ``jwt-auth``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import (
    AbsolutePath,
    Duration,
    ExactHostname,
    HeaderName,
    ObjectName,
    split_url,
)
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.api.v1alpha1.rules import Rule, how_many, unique, unique_by
from fluxgate.translator.jwks import read_jwks
from fluxgate.xds import names

RESERVED_HEADERS = frozenset(
    (
        *names.IDENTITY_HEADERS,
        *names.CREDENTIAL_HEADERS,
        *("authorization", "connection", "content-length", "cookie", "host", "keep-alive"),
        *("proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "via"),
        *("x-request-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
        *("x-forwarded-client-cert", "forwarded"),
    )
)
"""Headers that mean something to the gateway or to HTTP itself: no claim goes there."""

Algorithm = Literal[
    "RS256", "RS384", "RS512",
    "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512",
    "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip


def _check_https(text: str) -> str:
    authority = text.removeprefix("https://").partition("/")[0]
    if not 1 <= split_url(f"https://{authority}")[2] <= 65535:
        raise ValueError(f"{text!r}: the port must be between 1 and 65535")
    return text


HttpsUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
        r"/[^\x00-\x20\x7f#]*$",
        max_length=2048,
    ),
    AfterValidator(_check_https),
]
ClaimName = Annotated[str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=256)]
Claims = Annotated[tuple[ClaimName, ...], Field(max_length=8)]
Text = Annotated[str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=1024)]
Token = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$", min_length=1, max_length=256)
]


class RemoteJwksConfig(Model):
    """Keys that Envoy fetches, keeps, and fetches again in the background."""

    url: HttpsUrl | None = Field(
        default=None, description="What the issuer calls jwks_uri; its certificate is verified."
    )
    backend: BackendRef | None = Field(
        default=None, description="Instead of url: a Service, Backend, Upstream or plain URL."
    )
    path: AbsolutePath = Field(
        default="/.well-known/jwks.json", description="The path at the backend."
    )
    host: ExactHostname | None = Field(
        default=None, description="The host the backend is asked for; its own name when absent."
    )
    refresh: Duration = Field(
        default="5m",
        description="How often keys are fetched. Known keys stay in use while that fails.",
    )
    timeout: Duration = "5s"

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of url and backend",
            "has(self.url) != has(self.backend)",
            lambda self: how_many(self.url, self.backend) == 1,
        ),
        Rule(
            "host",
            "host and path go with backend; a url has its own",
            "!has(self.url) || !has(self.host)",
            lambda self: (
                self.url is None or (self.host is None and "path" not in self.model_fields_set)
            ),
        ),
        Rule(
            "refresh",
            "must be 10s or more",
            "duration(self.refresh) >= duration('10s')",
            lambda self: duration_ms(self.refresh) >= 10_000,
        ),
        Rule(
            "timeout",
            "must be between 100ms and 1m",
            "duration(self.timeout) >= duration('100ms')",
            lambda self: 100 <= duration_ms(self.timeout) <= 60_000,
        ),
    )


class JwksConfig(Model):
    """Where the keys come from. Keys in place name their algorithm (alg)."""

    remote: RemoteJwksConfig | None = None
    inline: Annotated[str, StringConstraints(min_length=2, max_length=65536)] | None = Field(
        default=None, description="A JSON Web Key Set of public keys."
    )
    secret_ref: SecretRef | None = Field(
        default=None, description="A Secret with a key set. Only there may symmetric keys stand."
    )
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)] = Field(
        default="jwks.json", description="The key in the Secret."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of remote, inline and secretRef",
            "[has(self.remote), has(self.inline), has(self.secretRef)].filter(x, x).size() == 1",
            lambda self: how_many(self.remote, self.inline, self.secret_ref) == 1,
        ),
    )


class TokenSourceConfig(Model):
    """The one place a token is read from, so that no second one can hide elsewhere."""

    header: HeaderName | None = None
    prefix: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 _-]*$", max_length=64)] | None
    ) = Field(
        default=None,
        description='In front of the token in the header; "Bearer " for authorization when absent.',
    )
    cookie: Token | None = None
    query: Token | None = Field(
        default=None, description="A query parameter. Others see it in logs and histories."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of header, cookie and query",
            "[has(self.header), has(self.cookie), has(self.query)].filter(x, x).size() == 1",
            lambda self: how_many(self.header, self.cookie, self.query) == 1,
        ),
        Rule(
            "prefix",
            "prefix goes with header",
            "!has(self.prefix) || has(self.header)",
            lambda self: self.prefix is None or self.header is not None,
        ),
    )


class JwtClaims(Model):
    """Which claims say who the caller is. A dot leads into an object: realm_access.roles."""

    subject: ClaimName = Field(default="sub", description="x-auth-subject. A token needs it.")
    tenant: ClaimName | None = Field(default=None, description="x-tenant-id.")
    workspace: ClaimName | None = Field(default=None, description="x-workspace-id.")
    role: ClaimName | None = Field(default=None, description="x-pg-role.")
    roles: Claims = Field(default=(), description="Roles that access lists compare.")
    scopes: Claims = Field(
        default=("scope", "scp"), description="Lists, or texts with spaces between scopes."
    )
    privilege_domains: Claims = ()
    sub_domains: Claims = ()
    plan: ClaimName | None = Field(
        default=None, description="The plan the caller's requests are counted on."
    )


class ClaimHeader(Model):
    """A claim that the upstream gets as a header. What clients send under its name is removed."""

    claim: ClaimName
    header: HeaderName

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "header",
            "is reserved; choose another name",
            f"!(self.header.lowerAscii() in {sorted(RESERVED_HEADERS)})",
            lambda self: self.header.lower() not in RESERVED_HEADERS,
        ),
    )


class JwtProviderConfig(Model):
    """One issuer of tokens."""

    name: ObjectName
    issuer: Text = Field(description="The claim iss, exactly.")
    audiences: Annotated[tuple[Text, ...], Field(max_length=64)] = Field(
        default=(),
        description="One of them must be in the claim aud. Empty takes tokens for anybody, "
        "those for other services of the issuer too.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1, max_length=13)] = Field(
        description="What tokens may be signed with. HS* needs a key set in a Secret."
    )
    jwks: JwksConfig
    from_: TokenSourceConfig = Field(
        default=TokenSourceConfig(header="authorization"), alias="from"
    )
    clock_skew: Duration = Field(
        default="60s", description="How far clocks may be apart, for exp and nbf; whole seconds."
    )
    require_expiration: bool = Field(default=True, description="Refuse tokens without exp.")
    max_lifetime: Duration | None = Field(
        default=None, description="Refuse tokens that are valid for longer from now on."
    )
    claims: JwtClaims = JwtClaims()
    tenant: ObjectName | None = Field(
        default=None,
        description="The tenant of every token; one that names another in claims.tenant is refused.",
    )
    plan: ObjectName | None = Field(
        default=None, description="The plan of callers whose token names none that exists."
    )
    claim_headers: Annotated[tuple[ClaimHeader, ...], Field(max_length=32)] = ()
    forward_token: bool = Field(
        default=False, description="Leave the token in the request to the upstream."
    )
    cached_tokens: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0,
        description="Verified tokens each worker remembers, to save their signature's check. "
        "A remembered token stays good until it expires, also when its key is withdrawn.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "clockSkew",
            "must be between 1s and 10m",
            "duration(self.clockSkew) >= duration('1s')",
            lambda self: 1_000 <= duration_ms(self.clock_skew) <= 600_000,
        ),
        Rule(
            "maxLifetime",
            "must be 1s or more",
            "!has(self.maxLifetime) || duration(self.maxLifetime) >= duration('1s')",
            lambda self: self.max_lifetime is None or duration_ms(self.max_lifetime) >= 1_000,
        ),
        Rule(
            "plan",
            "claims.plan needs plan, for callers whose token names none that exists",
            "!has(self.claims) || !has(self.claims.plan) || has(self.plan)",
            lambda self: self.claims.plan is None or self.plan is not None,
        ),
        Rule(
            "claimHeaders",
            "two claims go into the same header",
            "!has(self.claimHeaders) || self.claimHeaders.all(a, "
            "self.claimHeaders.exists_one(b, b.header == a.header))",
            lambda self: unique(each.header.lower() for each in self.claim_headers),
        ),
    )

    @model_validator(mode="after")
    def _check_keys_in_place(self) -> Self:
        if self.jwks.inline is not None:
            try:
                read_jwks(self.jwks.inline.encode(), self.algorithms, secret=False)
            except ValueError as error:
                problems = (("jwks.inline", str(error)),)
                raise PydanticCustomError(
                    "rules", "{text}", {"text": str(error), "problems": problems}
                ) from None
        return self


class JwtAuthConfig(Model):
    """The config of ``jwt-auth``: a token of any of these issuers will do."""

    providers: Annotated[tuple[JwtProviderConfig, ...], Field(min_length=1, max_length=16)]

    rules: ClassVar[tuple[Rule, ...]] = (
        unique_by("providers", "two providers have the same name", "name"),
    )
