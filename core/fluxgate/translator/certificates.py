"""TLS material from Secrets, by the names Envoy asks for it (SDS)."""

from __future__ import annotations

from collections.abc import Callable

from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.ir import CertificateIR
from fluxgate.resources import ObjectRef, Secret
from fluxgate.secret import SecretBytes
from fluxgate.status import Reason
from fluxgate.translator.findings import Finding, unresolved

SecretLookup = Callable[[ObjectRef], Secret | None]

_BEGIN_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_BEGIN = b"-----BEGIN "
_EMPTY = SecretBytes(b"")


def resolve_certificate(
    field: str, reference: SecretRef, namespace: str, lookup: SecretLookup
) -> str | Finding:
    """The SDS name of a certificate with its key (``tls.crt``, ``tls.key``), or why there is none."""
    secret = _secret(field, reference, namespace, lookup)
    if isinstance(secret, Finding):
        return secret
    chain, key = secret.data.get("tls.crt", _EMPTY), secret.data.get("tls.key", _EMPTY)
    if _BEGIN_CERTIFICATE not in chain.reveal():
        return _unusable(field, secret, "tls.crt holds no PEM certificate")
    if _BEGIN not in key.reveal():
        return _unusable(field, secret, "tls.key holds no PEM key")
    return f"certificate/{secret.namespace}/{secret.name}"


def resolve_ca(
    field: str, reference: SecretRef, namespace: str, lookup: SecretLookup
) -> str | Finding:
    """The SDS name of a CA bundle (``ca.crt``), or why there is none."""
    secret = _secret(field, reference, namespace, lookup)
    if isinstance(secret, Finding):
        return secret
    if _BEGIN_CERTIFICATE not in secret.data.get("ca.crt", _EMPTY).reveal():
        return _unusable(field, secret, "ca.crt holds no PEM certificate")
    return f"ca/{secret.namespace}/{secret.name}"


def certificate_of(name: str, lookup: SecretLookup) -> CertificateIR | None:
    """The material behind a name that one of the functions above returned."""
    kind, namespace, secret_name = name.split("/")
    ref = ObjectRef("Secret", namespace, secret_name)
    secret = lookup(ref)
    if secret is None:
        return None
    if kind == "ca":
        return CertificateIR(name, ref, secret.data.get("ca.crt", _EMPTY).reveal())
    chain = secret.data.get("tls.crt", _EMPTY).reveal()
    return CertificateIR(name, ref, chain, secret.data.get("tls.key"))


def _secret(
    field: str, reference: SecretRef, namespace: str, lookup: SecretLookup
) -> Secret | Finding:
    if reference.namespace not in (None, namespace):
        return unresolved(
            f"{field}: a Secret must live in the namespace {namespace!r}, beside what refers to it; "
            "remove the namespace",
            Reason.REF_NOT_PERMITTED,
        )
    ref = ObjectRef("Secret", namespace, reference.name)
    return lookup(ref) or unresolved(f"{field}: {ref} does not exist; create it")


def _unusable(field: str, secret: Secret, what: str) -> Finding:
    return unresolved(f"{field}: Secret {secret.namespace}/{secret.name}: {what}", Reason.INVALID)
