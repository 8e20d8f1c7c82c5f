"""The certificate of an HTTPS server of ours, taken up again whenever its files change.

Connections that are open go on as they were agreed on; each new one is shown what is newest. What cannot be used
is told and leaves the last good one in force.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Self

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.certificates.certificates import utc_now
from fluxgate_operator.certificates.files import PrivateFolder
from fluxgate_operator.certificates.given import (
    CERTIFICATE,
    KEY,
    GivenCertificateError,
    certificates_in,
    check_key,
)
from fluxgate_operator.watched_files import WatchedFiles, content_of

_SETTLE_SECONDS = 1.0


class ServerCertificate:
    """PEM files of a certificate, with its chain, and of its key. Use as a context manager.

    Entering reads them; raises :class:`GivenCertificateError`, which names the file and the remedy. :meth:`run`
    follows them. ``settle`` is how many seconds files that do not fit together are given to become a pair:
    two that are replaced one after the other do not fit in between, and that is no news for anybody.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], dt.datetime] = utc_now,
        settle: float = _SETTLE_SECONDS,
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._log = log
        self._clock = clock
        self._settle = settle
        self._files: tuple[bytes, bytes] = (b"", b"")
        self._trouble = ""

    def __enter__(self) -> Self:
        self._current = self._context(self._read())
        self.context = self._current
        # A context that is loaded anew keeps a certificate of another key type beside the new one, and is
        # broken between certificate and key. So there is a new one each time, and the first points to it.
        self.context.sni_callback = self._choose
        return self

    def __exit__(self, *_: object) -> None:
        self._files = (b"", b"")

    async def run(self) -> None:
        """Follow the files until cancelled."""
        try:
            watched = WatchedFiles()
        except OSError as error:
            self._log.warning(
                "a new certificate is taken up by a restart alone: its files cannot be watched",
                certificate=str(self._certificate),
                error=str(error),
            )
            return
        with watched:
            while True:
                watched.follow((self._certificate, self._key))
                problem = self._take_up()
                if problem != self._trouble:
                    if problem and await _within(self._settle, watched):
                        continue
                    self._tell(problem)
                await watched.changed()

    def _take_up(self) -> str:
        """Take up what is there now; gives why it cannot be used."""
        try:
            files = self._read()
            if files == self._files:
                return ""
            # what runs out is no better than what is there
            end = certificates_in(self._certificate, files[0])[0].not_valid_after_utc
            if end <= self._clock():
                return f"{self._certificate} has expired on {end:%Y-%m-%d %H:%M} UTC; renew it"
            self._current = self._context(files)
        except GivenCertificateError as error:
            return str(error)
        self._log.info("certificate taken up", certificate=str(self._certificate), until=str(end))
        return ""

    def _tell(self, problem: str) -> None:
        self._trouble = problem
        if problem:
            self._log.error(
                "the new certificate is not taken up: the last good one is shown on", error=problem
            )

    def _read(self) -> tuple[bytes, bytes]:
        """Both files, which belong together."""
        certificate, key = _content(self._certificate), _content(self._key)
        first = certificates_in(self._certificate, certificate)[0]
        check_key(self._certificate, first, self._key, key)
        return certificate, key

    def _context(self, files: tuple[bytes, bytes]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        folder = (
            PrivateFolder()
        )  # OpenSSL reads files; those that were checked, whatever stands there by now
        try:
            folder.replace({CERTIFICATE: files[0], KEY: files[1]})
            context.load_cert_chain(folder.path / CERTIFICATE, folder.path / KEY)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise GivenCertificateError(
                f"{self._certificate} and {self._key} cannot be served: {error}"
            ) from error
        finally:
            folder.close()
        self._files = files
        return context

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _first: ssl.SSLContext
    ) -> None:
        connection.context = self._current


async def _within(seconds: float, watched: WatchedFiles) -> bool:
    """Whether something happens to the files so soon."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watched.changed()
            return True
    return False


def _content(path: Path) -> bytes:
    try:
        return content_of(path)
    except OSError as error:
        raise GivenCertificateError(f"{path} cannot be read: {error.strerror or error}") from error
