"""Certificates that others renew in a folder, taken up by every server of a controller."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
import structlog
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from support.control_plane import control_plane as running_plane

from fluxgate_operator.certificates import Certificates, CertificateSettings
from fluxgate_operator.certificates.authority import Pair, issue, make_authority
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings
from fluxgate_operator.webhooks import Webhooks
from fluxgate_xds.server import XdsServerSettings

NAME = "fluxgate-controller.gateways.svc"
DAY = dt.timedelta(days=1)
NOW = dt.datetime.now(dt.UTC)
AUTHORITY = make_authority("issuer", NOW, 365 * DAY)


class SecretVolume:
    """A Secret in a pod, replaced as the kubelet does it: one link over another."""

    def __init__(self, root: Path) -> None:
        self.path = root / "tls"
        self.path.mkdir()
        self._numbers = itertools.count(1)

    def put(self, files: Mapping[str, bytes]) -> None:
        """All files of the Secret, at once."""
        number = next(self._numbers)
        folder = self.path / f"..{number}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        link = self.path / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(self.path / "..data")
        for name in ("ca.crt", "tls.crt", "tls.key"):
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")


def secret(
    authority: Pair = AUTHORITY, name: str = NAME, *, end: dt.timedelta = 90 * DAY
) -> dict[str, bytes]:
    """As cert-manager writes it with an issuer of the kind CA."""
    pair = issue(authority, [name], NOW - 10 * DAY, end + 10 * DAY)
    return {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate}


class Servers:
    """Everything of a controller that shows or wants a certificate."""

    def __init__(self, certificates: Certificates, xds_port: int, webhook_port: int) -> None:
        self.certificates = certificates
        self.ports = (xds_port, webhook_port)

    def channel(self) -> grpc.aio.Channel:
        """How another replica with the same certificates connects."""
        options = [("grpc.ssl_target_name_override", NAME)]
        credentials = self.certificates.channel_credentials()
        return grpc.aio.secure_channel(f"127.0.0.1:{self.ports[0]}", credentials, options)

    async def shown(self) -> set[bytes]:
        """The certificates that the servers show to those who connect now."""
        return {await asyncio.to_thread(_shown, port) for port in self.ports}

    async def show(self, wanted: bytes) -> None:
        """Wait until all show this one."""
        async with asyncio.timeout(60):
            while await self.shown() != {wanted}:  # noqa: ASYNC110 - nobody tells of a handshake
                await asyncio.sleep(0.02)


def _shown(port: int) -> bytes:
    text = ssl.get_server_certificate(("127.0.0.1", port), timeout=60)
    parsed = x509.load_pem_x509_certificate(text.encode())
    return parsed.fingerprint(parsed.signature_hash_algorithm)  # type: ignore[arg-type]


def fingerprint(files: Mapping[str, bytes]) -> bytes:
    parsed = x509.load_pem_x509_certificate(files["tls.crt"])
    return parsed.fingerprint(parsed.signature_hash_algorithm)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def certificates_in(folder: Path) -> AsyncIterator[Certificates]:
    settings = ControllerSettings("gateways", "replica-0", tls_dir=folder, webhook_port=0)
    timing = CertificateSettings(check_given=0.05, retry=0.05)
    nobody = cast("KubeClient", None)  # a replica that does not lead asks the API server nothing
    log = structlog.get_logger()
    certificates = Certificates(nobody, settings, lambda: False, log, timing)
    task = asyncio.create_task(certificates.run())
    try:
        yield certificates
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Servers]:
    async with certificates_in(folder) as certificates:
        await asyncio.wait_for(certificates.ready.wait(), 60)
        xds = XdsServerSettings(port=0, tls=certificates.server_tls())
        settings = ControllerSettings("gateways", "replica-0", tls_dir=folder, webhook_port=0)
        sidecar = cast("SidecarSettings", None)  # nobody asks for one here
        webhooks = Webhooks(
            settings, certificates, lambda: None, lambda: sidecar, structlog.get_logger()
        )
        async with running_plane(NoValidator("none"), xds) as plane:
            task = asyncio.create_task(webhooks.run())
            await asyncio.wait_for(webhooks.serving.wait(), 60)
            try:
                yield Servers(certificates, plane.port, webhooks.port)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def volume(tmp_path: Path) -> SecretVolume:
    return SecretVolume(tmp_path)


async def test_renewed_certificates_are_shown_to_new_connections_and_end_no_stream(
    volume: SecretVolume,
):
    first, second = secret(), secret()
    volume.put(first)
    async with serving(volume.path) as servers, servers.channel() as before:
        await servers.show(fingerprint(first))
        request = health_pb2.HealthCheckRequest()
        watch = health_pb2_grpc.HealthStub(before).Watch(request)
        assert await watch.read()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", servers.ports[1], ssl=_trusting(first["ca.crt"]), server_hostname=NAME
        )

        volume.put(second)
        await servers.show(fingerprint(second))

        async with servers.channel() as after:
            assert await health_pb2_grpc.HealthStub(after).Check(request)
        assert not watch.done()
        assert await health_pb2_grpc.HealthStub(before).Check(request)
        watch.cancel()
        writer.write(b"POST /validate HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_new_issuer_is_taken_up_with_what_it_signed(volume: SecretVolume):
    volume.put(secret())
    other = make_authority("another issuer", NOW, 365 * DAY)
    async with serving(volume.path) as servers:
        files = secret(other)
        volume.put(files)
        await servers.show(fingerprint(files))
        assert servers.certificates.ca_pem == other.certificate
        async with servers.channel() as channel:
            assert await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


def _without(name: str) -> dict[str, bytes]:
    return {key: each for key, each in secret().items() if key != name}


BAD: dict[str, tuple[dict[str, bytes], str, str]] = {
    "no authority": (_without("ca.crt"), "ca.crt cannot be read", "needs the keys"),
    "no key": (_without("tls.key"), "tls.key cannot be read", "needs the keys"),
    "another key": (
        {**secret(), "tls.key": secret()["tls.key"]},
        "tls.key is not the key of",
        "renew both together",
    ),
    "an empty authority": ({**secret(), "ca.crt": b""}, "ca.crt holds no certificate", "see who"),
    "half a certificate": (
        {**secret(), "tls.crt": secret()["tls.crt"][:200]},
        "tls.crt holds no certificate",
        "see who writes",
    ),
    "no key at all": ({**secret(), "tls.key": b"?"}, "tls.key holds no private key", "see who"),
    "another authority": (
        {**secret(), "ca.crt": make_authority("other", NOW, DAY).certificate},
        "tls.crt is not signed by an authority in",
        "put the issuer's certificate there",
    ),
    "an old certificate": (secret(end=-DAY), "tls.crt has expired on", "renew it"),
    "another name": (
        secret(name="shop.example.com"),
        f"tls.crt is for shop.example.com, not for {NAME}",
        "add that to its DNS names",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_used_is_named_with_its_remedy_and_the_old_one_stays(
    volume: SecretVolume, case: str
):
    files, problem, remedy = BAD[case]
    good, better = secret(), secret()
    volume.put(good)
    with capture_logs() as logs:
        async with serving(volume.path) as servers:
            volume.put(files)
            line = await _warning(logs)
            assert str(volume.path) in line["error"]
            assert problem in line["error"]
            assert remedy in line["error"]
            assert line["serving"] == "with the present certificate"
            assert await servers.shown() == {fingerprint(good)}
            async with servers.channel() as channel:
                assert await health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest()
                )
            volume.put(better)
            await servers.show(fingerprint(better))
    assert len([each for each in logs if each["log_level"] == "warning"]) == 1, "said once"


async def test_a_controller_that_starts_without_them_says_so_and_waits(volume: SecretVolume):
    with capture_logs() as logs:
        async with certificates_in(volume.path) as certificates:
            line = await _warning(logs)
            assert "cannot be read: No such file or directory" in line["error"]
            assert line["serving"] == "not before there is one"
            assert not certificates.ready.is_set()
            volume.put(secret())
            await asyncio.wait_for(certificates.ready.wait(), 60)


async def _warning(logs: list[Any]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            for each in logs:
                if each["log_level"] == "warning":
                    return dict(each)
            await asyncio.sleep(0.02)


def _trusting(authority: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.decode())
