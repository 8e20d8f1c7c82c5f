"""Certificates that others make and renew, in a folder: cert-manager by way of the kubelet.

What is read is checked before it is used, because a server that was given a certificate and
another one's key refuses every connection.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from fluxgate_operator.errors import OperatorError

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
FILES = (CERTIFICATE, KEY, AUTHORITY)

_KUBELET_LINK = "..data"
"""What the kubelet replaces when a Secret changes: all files of a volume at once."""


class GivenCertificateError(OperatorError):
    """The files cannot be used; the message names the file and the remedy."""


def read_given(folder: Path, server_name: str, now: dt.datetime) -> dict[str, bytes]:
    """The three files, which belong together. Raises :class:`GivenCertificateError`.

    ``server_name`` is the DNS name by which nodes, replicas and the API server know us.
    """
    found = _read(folder)
    chain = certificates_in(folder / CERTIFICATE, found[CERTIFICATE])
    authorities = certificates_in(folder / AUTHORITY, found[AUTHORITY])
    check_key(folder / CERTIFICATE, chain[0], folder / KEY, found[KEY])
    if not any(_signed(each, authority) for each in chain for authority in authorities):
        raise GivenCertificateError(
            f"{folder / CERTIFICATE} is not signed by an authority in {folder / AUTHORITY}: "
            "nobody who trusts that would connect; put the issuer's certificate there"
        )
    end = chain[0].not_valid_after_utc
    if end <= now:
        raise GivenCertificateError(
            f"{folder / CERTIFICATE} has expired on {end:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if server_name not in (names := _dns_names(chain[0])):
        raise GivenCertificateError(
            f"{folder / CERTIFICATE} is for {', '.join(names) or 'no DNS name'}, not for "
            f"{server_name}; add that to its DNS names"
        )
    return found


def _read(folder: Path) -> dict[str, bytes]:
    """All files of one moment: the link is followed once."""
    link = folder / _KUBELET_LINK
    for last in (False, True):
        base = link.resolve() if link.is_symlink() else folder
        try:
            return {name: (base / name).read_bytes() for name in FILES}
        except OSError as error:
            if last:
                name = Path(str(error.filename)).name
                raise GivenCertificateError(
                    f"{folder / name} cannot be read: {error.strerror}. The Secret in --tls-dir "
                    f"needs the keys {', '.join(FILES)}; cert-manager fills {AUTHORITY} with an "
                    "issuer of the kind CA"
                ) from error
    raise AssertionError("the second attempt returns or raises")


def certificates_in(path: Path, pem: bytes) -> list[x509.Certificate]:
    """What a file holds; at least one. Raises :class:`GivenCertificateError`."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise GivenCertificateError(
            f"{path} holds no certificate in PEM: {error}; see who writes the Secret"
        ) from error


def check_key(
    certificate_path: Path, certificate: x509.Certificate, path: Path, pem: bytes
) -> None:
    """Whether the file at ``path`` holds the certificate's key. Raises :class:`GivenCertificateError`."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise GivenCertificateError(
            f"{path} holds no private key in PEM without a password: {error}; "
            "see who writes the Secret"
        ) from error
    if key.public_key() != certificate.public_key():
        raise GivenCertificateError(
            f"{path} is not the key of {certificate_path}: they were replaced at different "
            "times; renew both together"
        )


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)
