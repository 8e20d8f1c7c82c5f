"""What is wrong with TLS material, in words for whoever wrote it.

Envoy refuses a certificate without its key, and says so of a whole Secret once it has it; here
the same is known before, and named. What only clients would object to is served, with a warning.
Whether a certificate has expired is a question to the clock, which translation does not ask.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509 import ocsp

_SMALLEST_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problem``: why it cannot be served. ``warning``: what clients may object to. Empty if none."""

    problem: str = ""
    warning: str = ""


def check_pair(chain: bytes, key: bytes, staple: bytes = b"") -> Verdict:
    """``tls.crt`` (the server's certificate first), ``tls.key`` and ``tls.ocsp-staple`` together."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except _UNREADABLE:
        return Verdict("tls.crt holds no PEM certificate that can be read")
    try:
        # its own consistency is OpenSSL's business, and costs milliseconds for RSA
        private = serialization.load_pem_private_key(
            key, password=None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        return Verdict("tls.key is encrypted; store it without a passphrase")
    except _UNREADABLE:
        return Verdict("tls.key holds no PEM key that can be read")
    if problem := _kind(private) or _match(certificates, private):
        return Verdict(problem)
    return Verdict(warning=_order(certificates) or _staple(certificates[0], staple))


def read_validity(chain: bytes) -> tuple[dt.datetime, dt.datetime] | None:
    """From when until when the first certificate of ``chain`` is valid; None if there is none."""
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except _UNREADABLE:
        return None
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def check_authority(bundle: bytes) -> Verdict:
    """``ca.crt``: one certificate or several."""
    try:
        x509.load_pem_x509_certificates(bundle)
    except _UNREADABLE:
        return Verdict("ca.crt holds no PEM certificate that can be read")
    return Verdict()


def check_revocations(lists: bytes, bundle: bytes) -> Verdict:
    """``ca.crl``: revocation lists in PEM, each signed by an authority of ``ca.crt``."""
    try:
        found = [x509.load_pem_x509_crl(each) for each in _pem_lists(lists)]
    except _UNREADABLE:
        found = []
    if not found:
        return Verdict("ca.crl holds no PEM revocation list that can be read")
    authorities = x509.load_pem_x509_certificates(bundle)
    for each in found:
        if not any(_signed(each, authority) for authority in authorities):
            issuer = each.issuer.rfc4514_string()
            return Verdict(f"ca.crl: the list of {issuer} is signed by no authority in ca.crt")
    return Verdict()


_END_OF_LIST = b"-----END X509 CRL-----"


def _pem_lists(text: bytes) -> list[bytes]:
    parts = text.split(_END_OF_LIST)
    return [part.lstrip() + _END_OF_LIST for part in parts[:-1]]


def _signed(lists: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    public = authority.public_key()
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return True  # Envoy decides
    return lists.issuer == authority.subject and lists.is_signature_valid(public)


def _kind(key: PrivateKeyTypes) -> str:
    """Why Envoy would not use a key, however well it matches."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < _SMALLEST_RSA_BITS:
            return f"tls.key: RSA with {key.key_size} bits; Envoy wants {_SMALLEST_RSA_BITS}"
        return ""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            return f"tls.key: the curve {key.curve.name}; Envoy knows P-256, P-384 and P-521"
        return ""
    return "tls.key is neither RSA nor ECDSA, which is all that Envoy serves"


def _match(certificates: Sequence[x509.Certificate], key: PrivateKeyTypes) -> str:
    own = _bytes_of(key.public_key())
    holders = [
        index for index, each in enumerate(certificates) if _bytes_of(each.public_key()) == own
    ]
    if not holders:
        return "tls.key is not the key of the certificate in tls.crt"
    if holders[0] != 0:
        return "tls.crt: the server's own certificate has to be the first, its intermediates after"
    return ""


def _bytes_of(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _order(certificates: Sequence[x509.Certificate]) -> str:
    for index, (certificate, issuer) in enumerate(pairwise(certificates)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            return (
                f"tls.crt: certificate {index + 2} did not issue certificate {index + 1}; "
                "clients that do not know the intermediates will refuse it"
            )
    return ""


def _staple(certificate: x509.Certificate, staple: bytes) -> str:
    if not staple:
        return ""
    try:
        response = ocsp.load_der_ocsp_response(staple)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return "tls.ocsp-staple is not stapled: the responder did not answer the question"
        serial = response.serial_number
    except _UNREADABLE:
        return "tls.ocsp-staple is not stapled: it is no OCSP response in DER"
    if serial != certificate.serial_number:
        return "tls.ocsp-staple is not stapled: it is about another certificate"
    return ""
