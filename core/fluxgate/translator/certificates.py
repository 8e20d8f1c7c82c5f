"""TLS material from Secrets, by the names Envoy asks for it (SDS)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.ir import CertificateIR
from fluxgate.resources import ObjectRef, Secret, ref_of
from fluxgate.secret import SecretBytes
from fluxgate.status import Reason
from fluxgate.translator.certificate_checks import (
    Verdict,
    check_authority,
    check_pair,
    check_revocations,
    read_validity,
)
from fluxgate.translator.certificate_files import PROBLEM, CertificateFiles
from fluxgate.translator.findings import Finding, unresolved

SecretLookup = Callable[[ObjectRef], Secret | None]

_EMPTY = SecretBytes(b"")
_STAPLE = "tls.ocsp-staple"

OUT_OF_TIME = "out-of-time"
"""The key under which :func:`out_of_time` says since when, or until when, in words."""


def resolve_certificate(
    field: str, reference: SecretRef, namespace: str, lookup: SecretLookup
) -> str | Finding:
    """The SDS name of a certificate with its key (``tls.crt``, ``tls.key``), or why there is none."""
    secret = _secret(field, reference, namespace, lookup)
    return secret if isinstance(secret, Finding) else _certificate(field, secret)


def resolve_ca(
    field: str, reference: SecretRef, namespace: str, lookup: SecretLookup
) -> str | Finding:
    """The SDS name of a CA bundle (``ca.crt``, maybe ``ca.crl``), or why there is none."""
    secret = _secret(field, reference, namespace, lookup)
    return secret if isinstance(secret, Finding) else _authority(field, secret)


def resolve_files(field: str, files: CertificateFiles, lookup: SecretLookup) -> str | Finding:
    """The same for files on disk."""
    secret = lookup(files.ref)
    if secret is None:
        return unresolved(
            f"{field}: only a gateway without Kubernetes reads files; use a Secret",
            Reason.UNSUPPORTED_TYPE,
        )
    if (problem := secret.data.get(PROBLEM)) is not None and len(secret.data) == 1:
        return unresolved(f"{field}: {problem.reveal().decode()}")
    return _certificate(field, secret) if "tls.crt" in secret.data else _authority(field, secret)


def problem_of(files: Secret) -> str:
    """Why a Secret that stands for files cannot be used, if it cannot; for whoever reads them."""
    if (problem := files.data.get(PROBLEM)) is not None and len(files.data) == 1:
        return problem.reveal().decode()
    return (_pair(files) if "tls.crt" in files.data else _bundle(files)).problem


def warning_of(name: str, lookup: SecretLookup) -> str:
    """What clients or users may object to in what one of the functions above returned, if anything."""
    secret = lookup(_ref(name))
    if secret is None:
        return ""
    if (problem := secret.data.get(PROBLEM)) is not None:
        return problem.reveal().decode()
    if (late := lookup(out_of_time(_ref(name)))) is not None:
        words = late.data[OUT_OF_TIME].reveal().decode()
        return f"{ref_of(secret)}: the certificate {words}; clients will refuse it"
    warning = _pair(secret).warning if name.startswith("certificate/") else ""
    return f"{ref_of(secret)}: {warning}" if warning else ""


def out_of_time(secret: ObjectRef) -> ObjectRef:
    """What stands in the store as long as the certificate of ``secret`` is out of its time.

    Put there by who has a clock, named like all that nobody wrote (:attr:`ObjectRef.source`).
    """
    return ObjectRef("Secret", secret.namespace, f"OutOfTime:{secret.name}")


def validity_of(secret: Secret) -> tuple[dt.datetime, dt.datetime] | None:
    """From when until when the server's certificate in ``secret`` is valid, if there is one."""
    if "tls.crt" not in secret.data:
        return None
    if "validity" not in secret.verdicts:
        secret.verdicts["validity"] = read_validity(secret.data["tls.crt"].reveal())
    found: tuple[dt.datetime, dt.datetime] | None = secret.verdicts["validity"]
    return found


def certificate_of(name: str, lookup: SecretLookup) -> CertificateIR | None:
    """The material behind a name that one of the functions above returned."""
    ref = _ref(name)
    secret = lookup(ref)
    if secret is None:
        return None
    if name.startswith("ca/"):
        revoked = secret.data.get("ca.crl", _EMPTY).reveal()
        return CertificateIR(name, ref, secret.data.get("ca.crt", _EMPTY).reveal(), crl=revoked)
    chain, staple = secret.data.get("tls.crt", _EMPTY).reveal(), secret.data.get(_STAPLE)
    # one that cannot be used is left out: Envoy would refuse the certificate with it
    usable = staple is not None and not _pair(secret).warning
    return CertificateIR(
        name,
        ref,
        chain,
        secret.data.get("tls.key"),
        ocsp_staple=staple.reveal() if staple is not None and usable else b"",
    )


def _ref(name: str) -> ObjectRef:
    _, namespace, secret = name.split("/", 2)
    return ObjectRef("Secret", namespace, secret)


def _certificate(field: str, secret: Secret) -> str | Finding:
    if problem := _pair(secret).problem:
        return _unusable(field, secret, problem)
    return f"certificate/{secret.namespace}/{secret.name}"


def _authority(field: str, secret: Secret) -> str | Finding:
    if problem := _bundle(secret).problem:
        return _unusable(field, secret, problem)
    return f"ca/{secret.namespace}/{secret.name}"


def _pair(secret: Secret) -> Verdict:
    return _checked(secret, "tls", _check_pair)


def _bundle(secret: Secret) -> Verdict:
    return _checked(secret, "ca", _check_authority)


def _check_pair(secret: Secret) -> Verdict:
    chain, key = secret.data.get("tls.crt", _EMPTY), secret.data.get("tls.key", _EMPTY)
    return check_pair(chain.reveal(), key.reveal(), secret.data.get(_STAPLE, _EMPTY).reveal())


def _check_authority(secret: Secret) -> Verdict:
    bundle, revoked = secret.data.get("ca.crt", _EMPTY).reveal(), secret.data.get("ca.crl")
    found = check_authority(bundle)
    if found.problem or revoked is None:
        return found
    return check_revocations(revoked.reveal(), bundle)


def _checked(secret: Secret, what: str, check: Callable[[Secret], Verdict]) -> Verdict:
    """Reading certificates takes a while, and thousands may be looked at for one change."""
    found: Verdict | None = secret.verdicts.get(what)
    if found is None:
        found = secret.verdicts[what] = check(secret)
    return found


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
    return unresolved(f"{field}: {ref_of(secret)}: {what}", Reason.INVALID)
