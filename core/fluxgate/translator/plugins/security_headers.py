"""``security-headers``: headers of answers that tell browsers to be careful."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.ir.policies.transform import SecurityHeaders
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

TransportSecurity = Annotated[
    str,
    StringConstraints(
        pattern=r"^(max-age=[0-9]{1,10}(; ?includeSubDomains)?(; ?preload)?)?$", max_length=64
    ),
]
Policy = Annotated[str, StringConstraints(pattern=LINE_PATTERN, max_length=4096)]
Referrer = Literal[
    "",
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
]
Opener = Literal[
    "", "unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups"
]
Embedder = Literal["", "unsafe-none", "require-corp", "credentialless"]
ResourceSharing = Literal["", "same-site", "same-origin", "cross-origin"]


class SecurityHeadersConfig(Model):
    """The config of ``security-headers``. An empty value leaves a header out."""

    strict_transport_security: TransportSecurity = Field(
        default="max-age=31536000; includeSubDomains",
        description="Sent over HTTPS only (RFC 6797 section 7.2).",
    )
    content_type_options: Literal["", "nosniff"] = "nosniff"
    frame_options: Literal["", "DENY", "SAMEORIGIN"] = "DENY"
    referrer_policy: Referrer = "strict-origin-when-cross-origin"
    content_security_policy: Policy = Field(
        default="", description="For example default-src 'self'; frame-ancestors 'none'."
    )
    permissions_policy: Policy = Field(default="", description="For example camera=(), usb=().")
    cross_origin_opener_policy: Opener = ""
    cross_origin_embedder_policy: Embedder = ""
    cross_origin_resource_policy: ResourceSharing = ""
    override: bool = Field(
        default=False, description="Replace what the upstream says; otherwise its headers stay."
    )


def _apply(policies: Policies, config: SecurityHeadersConfig, _context: Context) -> Policies:
    headers = (
        ("x-content-type-options", config.content_type_options),
        ("x-frame-options", config.frame_options),
        ("referrer-policy", config.referrer_policy),
        ("content-security-policy", config.content_security_policy),
        ("permissions-policy", config.permissions_policy),
        ("cross-origin-opener-policy", config.cross_origin_opener_policy),
        ("cross-origin-embedder-policy", config.cross_origin_embedder_policy),
        ("cross-origin-resource-policy", config.cross_origin_resource_policy),
    )
    given = tuple((name, value) for name, value in headers if value)
    return policies.adding(
        SecurityHeaders(given, config.strict_transport_security, config.override)
    )


POLICY = PolicyType(
    "security-headers",
    SecurityHeadersConfig,
    _apply,
    summary="Adds HSTS and the other headers that make browsers careful, to every answer.",
    example=(
        "contentSecurityPolicy: \"default-src 'self'; frame-ancestors 'none'\"\n"
        "frameOptions: SAMEORIGIN\n"
        'referrerPolicy: ""\n'
    ),
)
