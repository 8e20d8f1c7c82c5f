"""Certificates of our own: ECDSA P-256, valid from an hour ago, because clocks differ.

Pure but for the randomness of keys: the time is passed in.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SKEW = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, in PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Keys are not for logs."""
        return f"Pair({self.parsed.subject.rfc4514_string()!r})"

    @property
    def parsed(self) -> x509.Certificate:
        """The certificate, read."""
        return x509.load_pem_x509_certificate(self.certificate)

    def spent(self, now: dt.datetime) -> float:
        """How much of its life is over: 0 at its beginning, 1 at its end."""
        parsed = self.parsed
        begin = parsed.not_valid_before_utc + SKEW
        return (now - begin) / (parsed.not_valid_after_utc - begin)


def make_authority(name: str, now: dt.datetime, life: dt.timedelta) -> Pair:
    """A certificate that signs others, and is signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, subject, key.public_key(), now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Pair, names: Iterable[str], now: dt.datetime, life: dt.timedelta) -> Pair:
    """A certificate of a server that is a client of its like too; it ends with its authority.

    ``names`` are DNS names, IP addresses and URIs (``spiffe://``).
    """
    parent = authority.parsed
    signer = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is not an elliptic curve's")
    key, listed = ec.generate_private_key(ec.SECP256R1()), list(names)
    # common names have at most 64 characters; nobody reads them where alternative names are
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fluxgate controller")])
    until = min(now + life, parent.not_valid_after_utc)
    parent_id = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, parent.subject, key.public_key(), now, until)
        .add_extension(x509.SubjectAlternativeName(map(_general, listed)), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(parent_id),
            critical=False,
        )
    )
    return _pair(builder.sign(signer, hashes.SHA256()), key)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    until: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(until)
    )


def _general(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
