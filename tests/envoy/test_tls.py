"""TLS towards clients and towards upstreams, with certificates from secrets."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.certificates import Authority, Pair
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route, simple
from support.tls import get, handshake, trusting
from support.upstream import EchoUpstream

from fluxgate.ir import CertificateIR, ClusterTLS, EndpointIR, Gateway, ListenerIR, ListenerTLSIR
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes

pytestmark = pytest.mark.envoy
ORIGIN = ObjectRef("Secret", "default", "tls")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def secret(name: str, pair: Pair) -> CertificateIR:
    return CertificateIR(name, ORIGIN, pair.certificate, SecretBytes(pair.key))


def https(name: str = "http", *server_names: str, **tls: object) -> ListenerIR:
    terminated = ListenerTLSIR(**{"certificates": (f"{name}-tls",), **tls})
    return ListenerIR(name, "127.0.0.1", 8443, "main", server_names, terminated)


def terminating(echo: EchoUpstream, authority: Authority, **tls: object) -> Gateway:
    certificates = (secret("http-tls", authority.issue("example.com")),)
    return simple(echo, listeners=(https(**tls),), certificates=certificates)


def test_a_listener_terminates_tls_with_its_secret(
    echo: EchoUpstream, authority: Authority
) -> None:
    with GatewayEnvoy(terminating(echo, authority)) as served:
        answer = get(served.port, trusting(authority), "example.com")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"x-forwarded-proto", "https"' in answer


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2")],
)
def test_http_2_is_preferred_by_alpn(
    echo: EchoUpstream, authority: Authority, offered: tuple[str, ...], chosen: str
) -> None:
    with (
        GatewayEnvoy(terminating(echo, authority)) as served,
        handshake(served.port, trusting(authority, *offered), "example.com") as secured,
    ):
        assert secured.selected_alpn_protocol() == chosen


def test_a_client_below_the_minimum_version_is_refused(
    echo: EchoUpstream, authority: Authority
) -> None:
    old = trusting(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with GatewayEnvoy(terminating(echo, authority, min_version="1.3")) as served:
        with pytest.raises(ssl.SSLError), handshake(served.port, old, "example.com"):
            pass
        with handshake(served.port, trusting(authority), "example.com") as secured:
            assert secured.version() == "TLSv1.3"


def test_each_server_name_gets_its_own_certificate_on_one_port(
    echo: EchoUpstream, authority: Authority
) -> None:
    listeners = (https("http", "a.example.com"), https("other", "*.b.example.com"))
    certificates = (
        secret("http-tls", authority.issue("a.example.com")),
        secret("other-tls", authority.issue("*.b.example.com")),
    )
    served_by = simple(echo, listeners=listeners, certificates=certificates)
    with GatewayEnvoy(served_by) as served:
        for name in ("a.example.com", "x.b.example.com"):
            assert get(served.port, trusting(authority), name).startswith(b"HTTP/1.1 200 ")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            get(served.port, trusting(authority), "c.example.com")


@pytest.mark.parametrize("optional", [False, True])
def test_a_client_certificate_is_asked_for(
    echo: EchoUpstream, authority: Authority, tmp_path: Path, *, optional: bool
) -> None:
    clients, strangers = Authority("clients"), Authority("strangers")
    tls = {"client_ca": "clients", "client_certificate_optional": optional}
    served_by = terminating(echo, authority, **tls)
    bundle = CertificateIR("clients", ORIGIN, clients.pem)
    served_by = replace(served_by, certificates=(*served_by.certificates, bundle))

    def attempt(port: int, pair: Pair | None) -> bool:
        context = trusting(authority)
        if pair is not None:
            path = tmp_path / "client.pem"
            path.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(path)
        try:
            return get(port, context, "example.com").startswith(b"HTTP/1.1 200 ")
        except (ssl.SSLError, ConnectionResetError):
            return False

    with GatewayEnvoy(served_by) as served:
        assert attempt(served.port, clients.issue("me", client=True))
        assert not attempt(served.port, strangers.issue("me", client=True))
        assert attempt(served.port, None) is optional


@contextmanager
def tls_upstream(
    authority: Authority, name: str, clients: Authority | None = None
) -> Iterator[GatewayEnvoy]:
    """An upstream behind TLS: a second Envoy in front of an echo."""
    with EchoUpstream("secured") as inner:
        certificates = [secret("http-tls", authority.issue(name))]
        tls: dict[str, object] = {}
        if clients:
            certificates.append(CertificateIR("clients", ORIGIN, clients.pem))
            tls["client_ca"] = "clients"
        front = simple(inner, listeners=(https(**tls),), certificates=tuple(certificates))
        with GatewayEnvoy(front) as fronting:
            yield fronting


def to_tls(port: int, tls: ClusterTLS, *certificates: CertificateIR, protocol: str) -> Gateway:
    pool = cluster("up", endpoints=(EndpointIR("127.0.0.1", port),), tls=tls, protocol=protocol)
    return gateway((route("/", forward("up")),), (pool,), certificates=certificates)


@pytest.mark.parametrize("protocol", ["HTTP1", "HTTP2", "GRPC"])
def test_an_upstream_is_verified_by_its_authority_and_name(
    authority: Authority, protocol: str
) -> None:
    trusted = CertificateIR("ca", ORIGIN, authority.pem)
    tls = ClusterTLS("up.example.com", ca_secret="ca")
    with tls_upstream(authority, "up.example.com") as upstream:
        with GatewayEnvoy(to_tls(upstream.port, tls, trusted, protocol=protocol)) as served:
            assert served.get().json()["upstream"] == "secured"
        wrong_name = replace(tls, server_name="other.example.com")
        with GatewayEnvoy(to_tls(upstream.port, wrong_name, trusted, protocol=protocol)) as served:
            assert served.get().status == 502


def test_an_upstream_of_a_strange_authority_is_refused(authority: Authority) -> None:
    strange = CertificateIR("ca", ORIGIN, Authority("strange").pem)
    tls = ClusterTLS("up.example.com", ca_secret="ca")
    with tls_upstream(authority, "up.example.com") as upstream:
        with GatewayEnvoy(to_tls(upstream.port, tls, strange, protocol="HTTP1")) as served:
            assert served.get().status == 502
        unverified = ClusterTLS("up.example.com", insecure_skip_verify=True)
        with GatewayEnvoy(to_tls(upstream.port, unverified, protocol="HTTP1")) as served:
            assert served.get().status == 200


def test_without_an_authority_of_its_own_the_systems_bundle_decides(
    authority: Authority, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.pem)
    tls = ClusterTLS("up.example.com")
    with tls_upstream(authority, "up.example.com") as upstream:
        trusting_it = replace(to_tls(upstream.port, tls, protocol="HTTP1"), ca_bundle=str(bundle))
        with GatewayEnvoy(trusting_it) as served:
            assert served.get().status == 200
        with GatewayEnvoy(to_tls(upstream.port, tls, protocol="HTTP1")) as served:
            assert served.get().status == 502


def test_the_gateway_shows_an_upstream_its_own_certificate(authority: Authority) -> None:
    clients = Authority("clients")
    own = secret("own", clients.issue("gateway", client=True))
    trusted = CertificateIR("ca", ORIGIN, authority.pem)
    tls = ClusterTLS("up.example.com", ca_secret="ca")
    with tls_upstream(authority, "up.example.com", clients) as upstream:
        with GatewayEnvoy(to_tls(upstream.port, tls, trusted, protocol="HTTP1")) as served:
            assert served.get().status in {502, 503}
        with_own = replace(tls, client_secret="own")
        mutual = to_tls(upstream.port, with_own, trusted, own, protocol="HTTP1")
        with GatewayEnvoy(mutual) as served:
            assert served.get().status == 200
