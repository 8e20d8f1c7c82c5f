"""Mutual TLS for the server, re-read when the files change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

_log = structlog.get_logger("fluxgate.xds")
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files: the server's certificate chain and key, and the authority of the clients."""

    certificate: Path
    key: Path
    client_ca: Path

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Their present content. Raises ``OSError`` when one cannot be read."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair], self.client_ca.read_bytes())

    def stamp(self) -> _Stamp:
        """Changes whenever a file is replaced or rewritten. Raises ``OSError`` as above."""
        stats = [path.stat() for path in (self.certificate, self.key, self.client_ca)]
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in stats)


class _Rotation:
    """Called by gRPC before every handshake."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._stamp = files.stamp()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            configuration = self._files.configuration()
        except OSError as error:
            _log.warning("certificate not re-read, the old one stays", error=str(error))
            return None
        self._stamp = stamp
        _log.info("certificate re-read", path=str(self._files.certificate))
        return configuration


def server_credentials(
    files: TLSFiles, *, client_certificates: bool = True
) -> grpc.ServerCredentials:
    """Credentials that require a client certificate, or ask for none. Raises ``OSError`` as above.

    gRPC's Python API knows nothing between the two: nodes that present a token instead have a
    port of their own.
    """
    rotation = _Rotation(files)
    return grpc.dynamic_ssl_server_credentials(
        files.configuration(),
        rotation,  # type: ignore[arg-type]  # the stubs do not know that None means unchanged
        require_client_authentication=client_certificates,
    )
