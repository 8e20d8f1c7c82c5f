"""Mutual TLS for the server, re-read when the files change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fluxgate.errors import FluxGateError

_log = structlog.get_logger("fluxgate.xds")
_Stamp = tuple[tuple[int, int, int], ...]


class TLSFilesError(FluxGateError):
    """The files do not belong together; a server that took them would refuse every client."""


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files: the server's certificate chain and key, and the authority of the clients.

    They may be replaced at any time, best all at once by a link that is moved, to their folder or
    in it (``..data``, as the kubelet does).
    """

    certificate: Path
    key: Path
    client_ca: Path

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Their present content. Raises ``OSError`` and :class:`TLSFilesError`."""
        known: dict[Path, Path] = {}
        paths = [_of_now(path, known) for path in (self.key, self.certificate, self.client_ca)]
        key, certificate, client_ca = (path.read_bytes() for path in paths)
        self._check(key, certificate)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)

    def _check(self, key: bytes, certificate: bytes) -> None:
        try:
            public = serialization.load_pem_private_key(key, None).public_key()
            fits = public == x509.load_pem_x509_certificate(certificate).public_key()
        except (ValueError, TypeError) as error:
            raise TLSFilesError(
                f"{self.certificate} and {self.key} are not a certificate and a private key in "
                f"PEM: {error}"
            ) from error
        if not fits:
            raise TLSFilesError(
                f"{self.key} is not the key of {self.certificate}; replace both together"
            )

    def stamp(self) -> _Stamp:
        """Changes whenever a file is replaced or rewritten. Raises ``OSError`` as above."""
        stats = [path.stat() for path in (self.certificate, self.key, self.client_ca)]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in stats)


def _of_now(path: Path, known: dict[Path, Path]) -> Path:
    """``path`` with its folder's links followed once, so that all files are of one moment."""
    folder = path.parent
    if folder not in known:
        inside = folder / "..data"
        known[folder] = (inside if inside.is_symlink() else folder).resolve()
    return known[folder] / path.name


class _Rotation:
    """Called by gRPC before every handshake."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._stamp = files.stamp()
        self._said = ""

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            configuration = self._files.configuration()
        except (OSError, TLSFilesError) as error:
            if str(error) != self._said:
                _log.warning("certificate not re-read, the old one stays", error=str(error))
                self._said = str(error)
            return None
        self._stamp, self._said = stamp, ""
        _log.info("certificate re-read", path=str(self._files.certificate))
        return configuration


def server_credentials(
    files: TLSFiles, *, client_certificates: bool = True
) -> grpc.ServerCredentials:
    """Credentials that require a client certificate, or ask for none. Raises as above.

    gRPC's Python API knows nothing between the two: nodes that present a token instead have a
    port of their own.
    """
    rotation = _Rotation(files)
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(),
        rotation,  # type: ignore[arg-type]  # the stubs do not know that None means unchanged
        require_client_authentication=client_certificates,
    )
