"""``jwt-auth``: issuers of JSON Web Tokens, and what their tokens say of a caller."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.base import split_url
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir.policies.jwt_auth import (
    ClaimNames,
    JwtAuth,
    JwtProvider,
    JwtRequirement,
    LocalJwks,
    RemoteJwks,
    TokenSource,
)
from fluxgate.secret import SecretBytes
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.jwks import SYMMETRIC, read_jwks
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.jwt_auth_config import (
    JwtAuthConfig,
    JwtClaims,
    JwtProviderConfig,
    RemoteJwksConfig,
    TokenSourceConfig,
)


def _apply(policies: Policies, config: JwtAuthConfig, context: Context) -> Policies:
    providers = tuple(
        provider_of(each, context, f"config.providers[{index}]")
        for index, each in enumerate(config.providers)
    )
    names = tuple(each.name for each in providers)
    requirement = JwtRequirement(context.name, context.owner, names)
    trust = JwtAuth(requirement.name, names)
    return policies.verifying("JWT").adding(trust, shared=(*providers, requirement))


def provider_of(config: JwtProviderConfig, context: Context, path: str) -> JwtProvider:
    """One issuer as IR, its name in that of the policy. ``path`` is that of its config.

    Raises :class:`~fluxgate.translator.findings.PolicyError` when its keys cannot be had or used.
    """
    if config.plan is not None and config.plan not in context.scope.plans:
        known = ", ".join(sorted(context.scope.plans)) or "none"
        message = f"there is no plan {config.plan!r} on {context.scope.ref}; known: {known}"
        raise PolicyError(f"{path}.plan", message)
    return JwtProvider(
        name=f"{context.name}/{config.name}",
        origin=context.owner,
        issuer=config.issuer,
        audiences=config.audiences,
        algorithms=tuple(sorted(set(config.algorithms))),
        jwks=_keys(config, context, f"{path}.jwks"),
        source=_source(config.from_),
        clock_skew_s=duration_ms(config.clock_skew) // 1000,
        require_expiration=config.require_expiration,
        max_lifetime_s=duration_ms(config.max_lifetime) // 1000 if config.max_lifetime else 0,
        forward=config.forward_token,
        cached=config.cached_tokens,
        claims=_claims(config.claims),
        tenant=config.tenant or "",
        plan=config.plan or "",
        headers=tuple((each.claim, each.header.lower()) for each in config.claim_headers),
    )


def _keys(config: JwtProviderConfig, context: Context, path: str) -> RemoteJwks | LocalJwks:
    jwks = config.jwks
    if jwks.remote is not None:
        return _remote(jwks.remote, config, context, f"{path}.remote")
    if jwks.secret_ref is not None:
        where, secret = f"{path}.secretRef", True
        document = context.secret(jwks.secret_ref, where, jwks.key).reveal()
    else:
        where, secret, document = f"{path}.inline", False, (jwks.inline or "").encode()
    try:
        return LocalJwks(SecretBytes(read_jwks(document, config.algorithms, secret=secret)))
    except ValueError as error:
        raise PolicyError(where, str(error)) from None


def _remote(
    remote: RemoteJwksConfig, config: JwtProviderConfig, context: Context, path: str
) -> RemoteJwks:
    if any(each in SYMMETRIC for each in config.algorithms):
        raise PolicyError(
            path,
            "a symmetric key is a secret and no server may publish it; remove HS* from algorithms, "
            "or put the key set into a Secret",
        )
    if remote.url is not None:
        base, _, rest = remote.url.removeprefix("https://").partition("/")
        backend, uri = BackendRef(url=f"https://{base}"), f"https://{base}/{rest}"
    else:
        backend = remote.backend or BackendRef()
        uri = f"http://{remote.host or _host(backend, context)}{remote.path}"
    return RemoteJwks(
        cluster=context.cluster(backend, path),
        uri=uri,
        timeout_ms=duration_ms(remote.timeout),
        refresh_ms=duration_ms(remote.refresh),
    )


def _host(backend: BackendRef, context: Context) -> str:
    """What the server of the keys is asked for as host."""
    if backend.url is not None:
        return split_url(backend.url)[1]
    return f"{backend.name}.{context.owner.namespace}"


def _source(config: TokenSourceConfig) -> TokenSource:
    if config.cookie is not None:
        return TokenSource("cookie", config.cookie)
    if config.query is not None:
        return TokenSource("query", config.query)
    name = (config.header or "authorization").lower()
    prefix = config.prefix
    if prefix is None:
        prefix = "Bearer " if name == "authorization" else ""
    return TokenSource("header", name, prefix)


def _claims(claims: JwtClaims) -> ClaimNames:
    return ClaimNames(
        subject=claims.subject,
        tenant=claims.tenant or "",
        workspace=claims.workspace or "",
        role=claims.role or "",
        plan=claims.plan or "",
        roles=claims.roles,
        scopes=claims.scopes,
        privilege_domains=claims.privilege_domains,
        sub_domains=claims.sub_domains,
    )


POLICY = PolicyType(
    "jwt-auth",
    JwtAuthConfig,
    _apply,
    summary="Verifies JSON Web Tokens of one or more issuers and passes on who the caller is.",
    example="""\
providers:
  - name: main
    issuer: https://id.example.com/
    audiences: [https://api.example.com]
    algorithms: [RS256]
    jwks:
      remote: {url: https://id.example.com/.well-known/jwks.json}
    claims: {tenant: tenant, role: role, scopes: [scope]}
    claimHeaders: [{claim: email, header: x-user-email}]
""",
    errors=(
        (
            401,
            "the token is missing, malformed, out of its time, wrongly signed, or one of several",
        ),
        (403, "the token is for another audience, or lacks a scope, tenant or role"),
    ),
)
