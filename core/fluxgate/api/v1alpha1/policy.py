"""Policies that more than one kind carries: timeouts, retries, circuit breakers, TLS, CORS."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import (
    Duration,
    ExactHostname,
    HeaderName,
    Model,
    ObjectName,
    Percent,
)
from fluxgate.api.v1alpha1.rules import Rule

RetryCause = Literal[
    "5xx",
    "gateway-error",
    "connect-failure",
    "reset",
    "reset-before-request",
    "refused-stream",
    "retriable-4xx",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
]

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]


class Timeouts(Model):
    """How long the parts of a request may take. ``0s`` switches one off."""

    request: Duration | None = Field(
        default=None,
        description="From the last byte of the request to the whole response; 504 after it. Default 30s.",
    )
    idle: Duration | None = Field(
        default=None, description="No byte in either direction for this long ends the stream."
    )


class BackOff(Model):
    """Jittered exponential back-off between attempts."""

    base: Duration = "25ms"
    max: Duration = "250ms"


class Retry(Model):
    """Automatic retries of a failed attempt."""

    attempts: Annotated[int, Field(ge=0, le=10)] = Field(
        default=2, description="Retries after the first attempt."
    )
    retry_on: Annotated[tuple[RetryCause, ...], Field(max_length=16)] = (
        "connect-failure",
        "refused-stream",
        "unavailable",
        "cancelled",
    )
    status_codes: Annotated[
        tuple[Annotated[int, Field(ge=400, le=599)], ...], Field(max_length=32)
    ] = Field(default=(), description="Response codes to retry besides the named causes.")
    per_try_timeout: Duration | None = Field(
        default=None,
        description="How long one attempt may take. It then counts as 504: the next one follows "
        "when retryOn has 5xx or gateway-error.",
    )
    per_try_idle_timeout: Duration | None = Field(
        default=None, description="How long one attempt may be silent; else as perTryTimeout."
    )
    another_target: bool = Field(
        default=True, description="A retry goes to a target that this request has not tried yet."
    )
    hedge: bool = Field(
        default=False,
        description="After perTryTimeout the attempt goes on beside the next one; the first good "
        "answer counts.",
    )
    back_off: BackOff | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "hedge",
            "needs perTryTimeout: that is when the next attempt begins",
            "!self.hedge || has(self.perTryTimeout)",
            lambda self: not self.hedge or self.per_try_timeout is not None,
        ),
    )


UINT32_MAX = 4_294_967_295


class RetryBudget(Model):
    """Retries in flight at the same time, as a share of all requests in flight."""

    percent: Percent = 20.0
    min_concurrency: Annotated[int, Field(ge=0, le=UINT32_MAX)] = Field(
        default=3, description="So many are allowed however few requests there are."
    )


class CircuitBreaker(Model):
    """Limits towards one upstream; a request over one of them is refused at once (503)."""

    max_connections: Annotated[int, Field(ge=1, le=UINT32_MAX)] | None = None
    max_pending_requests: Annotated[int, Field(ge=0, le=UINT32_MAX)] | None = None
    max_requests: Annotated[int, Field(ge=1, le=UINT32_MAX)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=UINT32_MAX)] | None = None
    max_connections_per_target: Annotated[int, Field(ge=1, le=UINT32_MAX)] | None = None
    retry_budget: RetryBudget | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "retryBudget",
            "a budget replaces maxRetries; give one of them",
            "!has(self.retryBudget) || !has(self.maxRetries)",
            lambda self: self.retry_budget is None or self.max_retries is None,
        ),
    )


class SecretRef(Model):
    """A Secret by name; in another namespace only where the referring kind says so."""

    name: ObjectName
    namespace: ObjectName | None = None


class BackendTLS(Model):
    """TLS towards an upstream."""

    enabled: bool = True
    server_name: ExactHostname | None = Field(
        default=None, description="SNI and the name verified."
    )
    ca_certificate_ref: SecretRef | None = Field(
        default=None, description="Secret with ca.crt; the system's trust store when absent."
    )
    client_certificate_ref: SecretRef | None = None
    insecure_skip_verify: bool = False

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "insecureSkipVerify",
            "goes without caCertificateRef: there is nothing to verify against",
            "!self.insecureSkipVerify || !has(self.caCertificateRef)",
            lambda self: not self.insecure_skip_verify or self.ca_certificate_ref is None,
        ),
    )


CorsOrigin = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*|https?://(\*\.)?[A-Za-z0-9._\-\[\]:]+)$", min_length=1, max_length=253
    ),
]


class Cors(Model):
    """A Cross-Origin Resource Sharing policy, answered by the gateway before authentication."""

    allow_origins: Annotated[tuple[CorsOrigin, ...], Field(min_length=1, max_length=64)] = Field(
        default=("*",),
        description="Exact origins, one leading wildcard label (https://*.example.com), or *.",
    )
    allow_methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=9)] = (
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
    )
    allow_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = (
        "authorization",
        "content-type",
        "apikey",
        "x-api-key",
        "x-request-id",
    )
    expose_headers: Annotated[tuple[HeaderName, ...], Field(max_length=64)] = ("x-request-id",)
    allow_credentials: bool = False
    max_age: Duration = "10m"

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "allowCredentials",
            "browsers refuse credentials together with any origin; list the origins",
            "!self.allowCredentials || (has(self.allowOrigins) && !('*' in self.allowOrigins))",
            lambda self: not self.allow_credentials or "*" not in self.allow_origins,
        ),
    )
