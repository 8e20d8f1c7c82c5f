"""The certificate of an HTTPS server of ours: real handshakes before and after its files change."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs
from support.certificates import Authority, Pair
from support.tls import trusting

from fluxgate_operator.certificates.given import GivenCertificateError
from fluxgate_operator.embedded import serving_app
from fluxgate_operator.server_certificate import ServerCertificate

NAME = "admin.example.com"
AUTHORITY = Authority()
FIRST, SECOND = AUTHORITY.issue(NAME), AUTHORITY.issue(NAME)
SETTLE = 0.2


class Volume:
    """A Secret of type ``kubernetes.io/tls`` in a pod, swapped as the kubelet does it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self.certificate, self.key = root / "tls.crt", root / "tls.key"

    def put(self, certificate: bytes, key: bytes) -> None:
        """Both files at once: one link over another."""
        self._count += 1
        folder = self._root / f"..{self._count}"
        folder.mkdir()
        (folder / "tls.crt").write_bytes(certificate)
        (folder / "tls.key").write_bytes(key)
        link = self._root / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(self._root / "..data")
        for name in ("tls.crt", "tls.key"):
            if not (self._root / name).is_symlink():
                (self._root / name).symlink_to(f"..data/{name}")


class Server:
    """An application behind the certificate, and what new connections are shown."""

    def __init__(self, port: int, logs: list[Any]) -> None:
        self.port = port
        self.logs = logs

    async def shown(self) -> bytes:
        """The certificate of a handshake made now, as DER."""
        context = trusting(AUTHORITY)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=NAME
        )
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return found

    async def until_shown(self, pair: Pair) -> None:
        """Return when a new connection is shown the certificate."""
        async with asyncio.timeout(60):
            while await self.shown() != der(pair):  # noqa: ASYNC110 - a handshake is what tells
                await asyncio.sleep(0.01)

    async def until_told(self, words: str) -> None:
        """Return when the log has it."""
        async with asyncio.timeout(60):
            while not any(words in str(each) for each in self.logs):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


@asynccontextmanager
async def serving(volume: Volume, settle: float = SETTLE) -> AsyncIterator[Server]:
    sock = socket.create_server(("127.0.0.1", 0))
    with capture_logs() as logs:
        log = structlog.get_logger()
        with ServerCertificate(volume.certificate, volume.key, log, settle=settle) as tls:
            app = Starlette(routes=[Route("/", _hello)])
            port = sock.getsockname()[1]
            async with serving_app(app, sock, "test", tls=tls):
                yield Server(port, logs)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    made = Volume(tmp_path)
    made.put(FIRST.certificate, FIRST.key)
    return made


async def test_a_secret_that_is_swapped_is_shown_to_new_connections_and_ends_no_open_one(
    volume: Volume,
) -> None:
    async with serving(volume) as server:
        assert await server.shown() == der(FIRST)
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(verify=trusting(AUTHORITY), limits=limits) as client:
            url, known = f"https://127.0.0.1:{server.port}/", {"sni_hostname": NAME}
            assert (await client.get(url, extensions=known)).text == "hello"
            (before,) = client._transport._pool.connections  # type: ignore[attr-defined]
            volume.put(SECOND.certificate, SECOND.key)
            await server.until_shown(SECOND)
            assert (await client.get(url, extensions=known)).text == "hello"
            assert client._transport._pool.connections == [before]  # type: ignore[attr-defined]
        await server.until_told("certificate taken up")
        assert not [each for each in server.logs if each["log_level"] in ("warning", "error")]


async def test_two_files_that_are_replaced_one_after_the_other_are_no_trouble(
    tmp_path: Path,
) -> None:
    volume = Volume(tmp_path)
    volume.certificate.write_bytes(FIRST.certificate)
    volume.key.write_bytes(FIRST.key)
    async with serving(volume, settle=60) as server:
        volume.certificate.write_bytes(SECOND.certificate)
        assert await server.shown() == der(FIRST), "the server looked in between"
        volume.key.write_bytes(SECOND.key)
        await server.until_shown(SECOND)
        assert not [each for each in server.logs if each["log_level"] == "error"]


async def test_a_key_of_another_kind_leaves_nothing_of_the_old_one(volume: Volume) -> None:
    """A context that is loaded anew would show the old certificate to who prefers its kind."""
    other = AUTHORITY.issue(NAME, rsa=True)
    async with serving(volume) as server:
        volume.put(other.certificate, other.key)
        await server.until_shown(other)
        context = trusting(AUTHORITY)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("aECDSA")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=context, server_hostname=NAME
            )


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        (SECOND.certificate, FIRST.key, "is not the key of"),
        (b"no certificate", SECOND.key, "holds no certificate in PEM"),
        (SECOND.certificate, b"", "holds no private key in PEM"),
        (SECOND.certificate[: len(SECOND.certificate) // 2], SECOND.key, "holds no certificate"),
    ],
    ids=["of another certificate", "no certificate", "an empty key", "half a certificate"],
)
async def test_what_cannot_be_used_is_told_once_and_the_last_good_one_is_shown_on(
    volume: Volume, certificate: bytes, key: bytes, words: str
) -> None:
    async with serving(volume) as server:
        volume.put(certificate, key)
        await server.until_told(words)
        assert await server.shown() == der(FIRST)
        os.utime(volume.certificate)
        volume.put(SECOND.certificate, SECOND.key)
        await server.until_shown(SECOND)
        assert sum(words in str(each) for each in server.logs) == 1


async def test_one_that_has_expired_or_files_that_are_gone_replace_nothing(volume: Volume) -> None:
    expired = AUTHORITY.issue(NAME, ends=-dt.timedelta(minutes=1))
    async with serving(volume) as server:
        volume.put(expired.certificate, expired.key)
        await server.until_told("has expired")
        volume.key.unlink()
        await server.until_told("cannot be read")
        assert await server.shown() == der(FIRST)


def test_files_that_cannot_be_used_at_the_start_are_named(volume: Volume) -> None:
    log = structlog.get_logger()
    volume.put(FIRST.certificate, SECOND.key)
    with (
        pytest.raises(GivenCertificateError, match=r"tls\.key is not the key of .*tls\.crt"),
        ServerCertificate(volume.certificate, volume.key, log),
    ):
        pass
