"""A certificate authority for one test."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fluxgate_xds.credentials import TLSFiles

LOCALHOST = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class Authority:
    """Issues server and client certificates that it has signed itself."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca.example.com")])
        certificate = self._signed(self._name, self._key, [], ca=True)
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, alternatives: list[x509.GeneralName], serial: int = 2) -> tuple[bytes, bytes]:
        """(key, certificate) as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"leaf-{serial}.example.com")])
        certificate = self._signed(name, key, alternatives, serial=serial)
        return _pem_key(key), certificate.public_bytes(serialization.Encoding.PEM)

    def server_files(self, folder: Path, serial: int = 2) -> TLSFiles:
        """Write what a server on this machine needs."""
        files = TLSFiles(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
        key, certificate = self.issue(LOCALHOST, serial)
        files.key.write_bytes(key)
        files.certificate.write_bytes(certificate)
        files.client_ca.write_bytes(self.pem)
        return files

    def _signed(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        alternatives: list[x509.GeneralName],
        *,
        ca: bool = False,
        serial: int = 1,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())
