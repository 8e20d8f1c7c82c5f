"""``ext-authz``: a service of one's own says whether a request may pass, over HTTP or gRPC.

gRPC: ``envoy.service.auth.v3.Authorization``. HTTP: the service gets a request with the method, the path
(behind ``http.path``) and headers of the original one; 200 lets it pass, a status below 500 refuses it
with the service's own answer, anything else is an error.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Duration, HeaderName, Line
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir.policies.ext_authz import AuthorizedBody, ExtAuthz, settable
from fluxgate.regex import program_size
from fluxgate.status import Reason
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.xds import names

LARGEST_EXPRESSION = 1000
"""RE2 program size up to which Envoy, as it is started here, takes an expression."""

HeaderNames = Annotated[
    tuple[
        Annotated[
            str,
            StringConstraints(pattern=r"^([A-Za-z0-9!#$%&'+\-.^`|~]+\*?|\*)$", max_length=256),
        ],
        ...,
    ],
    Field(max_length=64),
]
ServicePath = Annotated[
    str, StringConstraints(pattern=r"^(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*$", max_length=1024)
]


class GrpcAuthorizer(Model):
    """A service with the interface ``envoy.service.auth.v3.Authorization``."""

    backend: BackendRef


class HttpAuthorizer(Model):
    """A service that answers by a status."""

    backend: BackendRef
    path: ServicePath = Field(default="", description="What stands before the path of the request.")
    client_headers: HeaderNames = Field(
        default=("content-type", "set-cookie", "retry-after"),
        description="Headers of its refusals that clients get, besides location and www-authenticate.",
    )


class AuthorizerBody(Model):
    """How much of the request's body the service gets."""

    max_bytes: Annotated[int, Field(ge=1, le=1_048_576)] = 8192
    allow_partial: bool = Field(
        default=False,
        description="Whether the beginning of a larger body will do; else it is refused (413).",
    )


class ExtAuthzConfig(Model):
    """The config of ``ext-authz``. Names of headers may end in ``*``."""

    grpc: GrpcAuthorizer | None = None
    http: HttpAuthorizer | None = None
    timeout: Duration = "1s"
    request_headers: HeaderNames = Field(
        default=("authorization", "cookie", "x-request-id"),
        description="Headers of the request that the service gets. Over HTTP it always gets "
        "authorization.",
    )
    add_headers: Annotated[dict[HeaderName, Line], Field(max_length=16)] = Field(
        default_factory=dict,
        description="What the service is told besides: headers, or gRPC metadata.",
    )
    body: AuthorizerBody | None = Field(default=None, description="Absent: it gets no body.")
    upstream_headers: HeaderNames = Field(
        default=(),
        description="Headers that the service may set on the request. Identity headers have to be "
        "named in full.",
    )
    include_client_certificate: bool = Field(
        default=False, description="Whether a gRPC service gets the client's certificate."
    )
    failure_mode: Literal["Closed", "Open"] = Field(
        default="Closed",
        description="Open lets requests pass when the service is away or fails.",
    )
    status_on_error: Literal[403, 500, 503] = Field(
        default=503, description="The answer when the service is away or fails."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of grpc and http",
            "has(self.grpc) != has(self.http)",
            lambda self: how_many(self.grpc, self.http) == 1,
        ),
        Rule(
            "timeout",
            "must be between 10ms and 1m",
            "duration(self.timeout) >= duration('10ms') && duration(self.timeout) <= duration('1m')",
            lambda self: 10 <= duration_ms(self.timeout) <= 60_000,
        ),
        Rule(
            "includeClientCertificate",
            "goes with grpc: a certificate is no header",
            "!self.includeClientCertificate || has(self.grpc)",
            lambda self: not self.include_client_certificate or self.grpc is not None,
        ),
    )


def _apply(policies: Policies, config: ExtAuthzConfig, context: Context) -> Policies:
    _require_no_identity(config, context)
    _require_small(config)
    body = config.body
    service = config.grpc or config.http
    if service is None:
        raise PolicyError("config", "give exactly one of grpc and http")
    grpc = config.grpc is not None
    where = f"config.{'grpc' if grpc else 'http'}.backend"
    cluster = context.cluster(service.backend, where, "HTTP2" if grpc else None)
    rule = ExtAuthz(
        cluster=cluster,
        grpc=grpc,
        authority=_authority(service.backend),
        path=config.http.path if config.http else "",
        timeout_ms=duration_ms(config.timeout),
        request_headers=_lower(config.request_headers),
        upstream_headers=_lower(config.upstream_headers),
        client_headers=_lower(config.http.client_headers) if config.http else (),
        told=tuple((name.lower(), value) for name, value in sorted(config.add_headers.items())),
        body=None if body is None else AuthorizedBody(body.max_bytes, body.allow_partial),
        fail_open=config.failure_mode == "Open",
        status_on_error=config.status_on_error,
        client_certificate=config.include_client_certificate,
    )
    return policies.adding(rule)


def _require_small(config: ExtAuthzConfig) -> None:
    """What a gRPC service may set is one regular expression, which Envoy bounds."""
    expression = settable(_lower(config.upstream_headers))
    if config.grpc is not None and expression and program_size(expression) > LARGEST_EXPRESSION:
        raise PolicyError(
            "config.upstreamHeaders",
            "these are more names than Envoy can compare for a gRPC service; give them a common "
            "beginning, and list that with *",
        )


def _lower(listed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each.lower() for each in listed)


def _authority(backend: BackendRef) -> str:
    """What the service is called as: the host of its URL, or the name of the object."""
    return backend.url.partition("://")[2].rstrip("/") if backend.url else backend.name or ""


def _require_no_identity(config: ExtAuthzConfig, context: Context) -> None:
    """A tenant's service may not say for which tenant a request is."""
    if not context.of_tenant:
        return
    for index, name in enumerate(_lower(config.upstream_headers)):
        if name in names.IDENTITY_HEADERS:
            raise PolicyError(
                f"config.upstreamHeaders[{index}]",
                f"{name} is an identity header, which a tenant's service may not set; remove it",
                Reason.REF_NOT_PERMITTED,
            )


POLICY = PolicyType(
    "ext-authz",
    ExtAuthzConfig,
    _apply,
    summary="Asks a service of your own, over HTTP or gRPC, whether a request may pass.",
    example=(
        "http:\n"
        "  backend: {kind: Service, name: authorizer, port: 8080}\n"
        "  path: /check\n"
        "timeout: 500ms\n"
        "requestHeaders: [authorization, x-auth-*]\n"
        "upstreamHeaders: [x-user-department]\n"
    ),
    errors=(
        (403, "the service refuses; status and message are its own"),
        (413, "the body is larger than the service may get"),
        (503, "the service is away, fails or is too slow (statusOnError)"),
    ),
)
