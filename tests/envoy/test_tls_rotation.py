"""Certificates that change while clients are connected: through the whole standalone gateway."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from support.certificates import Authority, Pair
from support.http3 import http3
from support.load import Load
from support.ports import free_port
from support.standalone import API, RunningGateway, route, running_gateway
from support.tls import handshake, trusting
from support.upstream import EchoUpstream

from fluxgate.resources import ObjectRef

pytestmark = pytest.mark.envoy
AUTHORITY = Authority()
HOST = "127.0.0.1"
ROTATIONS = 20


def issue() -> Pair:
    return AUTHORITY.issue(HOST, "example.com")


def serial(pair: Pair) -> int:
    return x509.load_pem_x509_certificate(pair.certificate).serial_number


def secret(name: str, pair: Pair) -> str:
    data = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "stringData": data,
    }
    return yaml.safe_dump(document)


def https(name: str, port: int, **fields: object) -> dict[str, object]:
    return {"name": name, "address": HOST, "port": port, "protocol": "HTTPS", **fields}


def config(*listeners: dict[str, object]) -> str:
    plain = {"name": "http", "address": HOST, "port": 8080}
    spec = {"logging": {"accessLog": {"enabled": False}}, "listeners": [plain, *listeners]}
    return API + yaml.safe_dump(
        {"kind": "GatewayConfig", "metadata": {"name": "main"}, "spec": spec}
    )


class Kept:
    """A client that keeps its connections."""

    def __init__(self) -> None:
        self.client = httpx.Client(verify=trusting(AUTHORITY), trust_env=False)

    def get(self, port: int) -> object:
        """Ask ``port``, and return the connection that was used."""
        answer = self.client.get(f"https://{HOST}:{port}/")
        assert answer.status_code == 200
        return answer.extensions["network_stream"]


class Rotating:
    """A gateway with two listeners: one of a Secret (and HTTP/3), one of files in ``folder``."""

    def __init__(self, gateway: RunningGateway, folder: Path, ports: tuple[int, int]) -> None:
        self.gateway = gateway
        self.folder = folder
        self.by_secret, self.by_files = ports

    def presented(self, port: int) -> int:
        """The serial number of the certificate that a new connection gets; 0 without a listener."""
        try:
            with handshake(port, trusting(AUTHORITY), HOST) as secured:
                made = secured.getpeercert(binary_form=True)
        except (ConnectionError, ssl.SSLEOFError):  # gone, or just going
            return 0
        assert made is not None
        return x509.load_der_x509_certificate(made).serial_number

    async def until_presented(self, port: int, pair: Pair) -> None:
        await self.gateway.until(lambda: self.presented(port) == serial(pair))

    def message(self, condition: str) -> str:
        """What a condition of the GatewayConfig says."""
        status = self.gateway.gateway.status().objects[
            ObjectRef("GatewayConfig", "default", "main")
        ]
        return next(each.message for each in status.conditions if each.type == condition)


def listeners(ports: tuple[int, int], folder: Path) -> list[dict[str, object]]:
    files = {"certificate": str(folder / "live" / "chain.pem"), "key": str(folder / "live/key.pem")}
    return [
        https("secret", ports[0], http3=True, tls={"certificateRefs": [{"name": "cert"}]}),
        https("files", ports[1], tls={"certificateFiles": [files]}),
    ]


def write_pair(folder: Path, pair: Pair) -> None:
    folder.mkdir(parents=True)
    (folder / "chain.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)


@pytest.fixture
async def rotating(tmp_path: Path) -> AsyncIterator[Rotating]:
    tls, ports, pair = tmp_path / "tls", (free_port(), free_port()), issue()
    write_pair(tls / "archive-0", pair)
    (tls / "live").symlink_to("archive-0")
    with EchoUpstream() as echo:
        files = {
            "gateway.yaml": config(*listeners(ports, tls)),
            "secret.yaml": secret("cert", pair),
            "echo.yaml": route("echo", "/", echo.port),
        }
        async with running_gateway(tmp_path, files) as running:
            yield Rotating(running, tls, ports)


def swap(folder: Path, number: int, pair: Pair) -> None:
    """As certbot and the kubelet do: new files beside the old ones, then the link."""
    write_pair(folder / f"archive-{number}", pair)
    (folder / ".link").symlink_to(f"archive-{number}")
    (folder / ".link").replace(folder / "live")


async def test_rotation_fails_no_request_and_ends_no_connection(rotating: Rotating) -> None:
    trusted, ports = trusting(AUTHORITY), (rotating.by_secret, rotating.by_files)
    urls = [f"https://{HOST}:{port}/" for port in ports]
    kept = Kept()
    with (
        kept.client,
        Load(urls[0], verify=trusted) as steady,
        Load(urls[0], verify=trusted, keep_alive=False) as fresh,
        Load(urls[1], verify=trusted, keep_alive=False) as of_files,
    ):
        connections = [kept.get(port) for port in ports]
        async with http3(rotating.by_secret, AUTHORITY.pem, name=HOST) as quic:
            first = quic.peer_serial()
            for number in range(1, ROTATIONS + 1):
                pair = issue()
                rotating.gateway.write("secret.yaml", secret("cert", pair))
                swap(rotating.folder, number, pair)
                for port in ports:
                    await rotating.until_presented(port, pair)
            # the connections from before the first rotation serve on
            assert [kept.get(port) for port in ports] == connections
            assert (await quic.get("/", host=HOST)).status == 200
        async with http3(rotating.by_secret, AUTHORITY.pem, name=HOST) as later:
            assert later.peer_serial() == serial(pair) != first
    assert [each.failed for each in (steady, fresh, of_files)] == [{}, {}, {}]
    assert min(each.total for each in (steady, fresh, of_files)) > ROTATIONS


async def test_files_that_do_not_fit_leave_the_last_good_ones_in_force(rotating: Rotating) -> None:
    old, new = rotating.presented(rotating.by_files), issue()
    live = rotating.folder / "live"
    (live / "chain.pem").write_bytes(new.certificate)
    await rotating.gateway.until(
        lambda: "the last good files stay in force" in rotating.message("Accepted")
    )
    assert "tls.key is not the key of the certificate" in rotating.message("Accepted")
    assert rotating.presented(rotating.by_files) == old
    (live / "key.pem").write_bytes(new.key)
    await rotating.until_presented(rotating.by_files, new)
    await rotating.gateway.until(lambda: not rotating.message("Accepted"))


async def test_files_that_vanish_leave_the_last_good_ones_in_force(rotating: Rotating) -> None:
    old, new = rotating.presented(rotating.by_files), issue()
    shutil.rmtree(rotating.folder / "archive-0")
    await rotating.gateway.until(lambda: "No such file" in rotating.message("Accepted"))
    assert rotating.presented(rotating.by_files) == old
    write_pair(rotating.folder / "archive-0", new)
    await rotating.until_presented(rotating.by_files, new)


async def test_a_bad_secret_takes_its_listener_only_and_a_good_one_brings_it_back(
    rotating: Rotating,
) -> None:
    bad = Pair(issue().certificate, issue().key)
    rotating.gateway.write("secret.yaml", secret("cert", bad))
    await rotating.gateway.until(lambda: rotating.message("ResolvedRefs"))
    assert rotating.message("ResolvedRefs") == (
        "spec.listeners[1].tls.certificateRefs[0]: Secret default/cert: "
        "tls.key is not the key of the certificate in tls.crt"
    )
    assert (await rotating.gateway.get("/")).status == 200
    assert rotating.presented(rotating.by_files)
    await rotating.gateway.until(lambda: not rotating.presented(rotating.by_secret))
    good = issue()
    rotating.gateway.write("secret.yaml", secret("cert", good))
    await rotating.until_presented(rotating.by_secret, good)
    assert not rotating.message("ResolvedRefs")


async def test_a_certificate_out_of_its_time_is_served_and_told_of(rotating: Rotating) -> None:
    expired = AUTHORITY.issue(HOST, ends=dt.timedelta(minutes=-1))
    rotating.gateway.write("secret.yaml", secret("cert", expired))
    await rotating.gateway.until(lambda: "expired at" in rotating.message("Accepted"))
    assert "Secret default/cert: the certificate expired at" in rotating.message("Accepted")

    # what is said is said of the folder; Envoy follows
    def is_expired() -> bool:
        try:
            rotating.presented(rotating.by_secret)
        except ssl.SSLCertVerificationError as error:
            return "expired" in str(error)
        return False

    await rotating.gateway.until(is_expired)
    good = issue()
    rotating.gateway.write("secret.yaml", secret("cert", good))
    await rotating.gateway.until(lambda: not rotating.message("Accepted"))
    await rotating.gateway.until(lambda: not is_expired())
    assert rotating.presented(rotating.by_secret) == serial(good)


async def test_one_more_listener_on_a_port_ends_no_connection_of_the_others(
    rotating: Rotating,
) -> None:
    kept = Kept()
    with kept.client:
        connection = kept.get(rotating.by_secret)
        more = https(
            "more",
            rotating.by_secret,
            http3=True,
            hostnames=["more.example.com"],
            tls={"certificateRefs": [{"name": "more"}]},
        )
        pair = AUTHORITY.issue("more.example.com")
        rotating.gateway.write("more.yaml", secret("more", pair))
        old = listeners((rotating.by_secret, rotating.by_files), rotating.folder)
        rotating.gateway.write("gateway.yaml", config(*old, more))

        def served() -> bool:
            try:
                with handshake(rotating.by_secret, trusting(AUTHORITY), "more.example.com"):
                    return True
            except ssl.SSLCertVerificationError:
                return False

        await rotating.gateway.until(served)
        assert kept.get(rotating.by_secret) is connection


async def test_a_file_that_is_not_there_takes_its_listener_only_until_it_is(
    tmp_path: Path,
) -> None:
    tls, ports, pair = tmp_path / "tls", (free_port(), free_port()), issue()
    with EchoUpstream() as echo:
        files = {
            "gateway.yaml": config(*listeners(ports, tls)),
            "secret.yaml": secret("cert", pair),
            "echo.yaml": route("echo", "/", echo.port),
        }
        async with running_gateway(tmp_path, files) as running:
            rotating = Rotating(running, tls, ports)
            assert "chain.pem cannot be read: No such file" in rotating.message("ResolvedRefs")
            assert rotating.presented(rotating.by_secret) == serial(pair)
            write_pair(tls / "live", pair)
            await rotating.until_presented(rotating.by_files, pair)
            assert not rotating.message("ResolvedRefs")
