"""``mtls-auth``: a client certificate that the listener has verified, and whose.

The listener asks for the certificate and verifies its chain
(``GatewayConfig.spec.listeners[].tls.clientValidation``); this says which of them may call.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import Hostname
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.ir.policies.mtls_auth import MtlsAuth
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

Uri = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*:[^\x00-\x20\x7f*]+(/\*)?$", max_length=2048),
]
Spiffe = Annotated[
    str,
    StringConstraints(
        pattern=r"^spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)*(/\*)?$", max_length=2048
    ),
]
Fingerprint = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})$"),
    AfterValidator(lambda text: text.replace(":", "").lower()),
]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\x00-\x20\x7f]+@[^@\x00-\x20\x7f]+$")]
Subject = Annotated[str, StringConstraints(pattern=LINE_PATTERN, min_length=3, max_length=1024)]


class MtlsAuthConfig(Model):
    """The config of ``mtls-auth``. One entry that fits is enough; none at all means any certificate."""

    spiffe_ids: Annotated[tuple[Spiffe, ...], Field(max_length=256)] = Field(
        default=(), description="SPIFFE IDs; /* at the end stands for everything below."
    )
    uris: Annotated[tuple[Uri, ...], Field(max_length=256)] = Field(
        default=(), description="Subject alternative names of type URI; /* as above."
    )
    dns_names: Annotated[tuple[Hostname, ...], Field(max_length=256)] = Field(
        default=(), description="Subject alternative names of type DNS; *. stands for any labels."
    )
    emails: Annotated[
        tuple[Annotated[Email, Field(max_length=320)], ...], Field(max_length=256)
    ] = Field(default=(), description="Subject alternative names of type e-mail.")
    subjects: Annotated[tuple[Subject, ...], Field(max_length=256)] = Field(
        default=(),
        description="Whole distinguished names as RFC 2253 writes them: "
        "openssl x509 -noout -subject -nameopt RFC2253",
    )
    fingerprints: Annotated[tuple[Fingerprint, ...], Field(max_length=256)] = Field(
        default=(),
        description="SHA-256 of the certificate: openssl x509 -noout -fingerprint -sha256",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "dnsNames",
            "* alone admits every name; leave the list empty to admit every certificate",
            "!has(self.dnsNames) || !('*' in self.dnsNames)",
            lambda self: "*" not in self.dns_names,
        ),
    )


def _apply(policies: Policies, config: MtlsAuthConfig, context: Context) -> Policies:
    if not context.scope.verifies_clients:
        context.note(
            "config",
            f"no listener of {context.scope.ref} verifies client certificates, so every request "
            "is refused; set listeners[].tls.clientValidation",
        )
    rule = MtlsAuth(
        (*config.spiffe_ids, *config.uris),
        config.dns_names,
        config.emails,
        config.subjects,
        config.fingerprints,
    )
    return policies.verifying("MTLS").adding(rule)


POLICY = PolicyType(
    "mtls-auth",
    MtlsAuthConfig,
    _apply,
    summary="Requires a client certificate that the listener has verified, and says whose.",
    example=(
        "spiffeIds: [spiffe://example.com/ns/shop/*]\n"
        "dnsNames: [client.example.com]\n"
        "subjects: ['CN=batch,O=Example']\n"
    ),
    errors=((403, "the connection has no verified client certificate, or none that is admitted"),),
)
