"""What a TLS listener lets users choose: versions, ciphers, curves, protocols, revocation, stapling."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from OpenSSL import SSL
from support.certificates import Authority, Pair
from support.gateway import GatewayEnvoy, simple
from support.tls import get, handshake, tls_listener, trusting
from support.upstream import EchoUpstream

from fluxgate.ir import CertificateIR, Gateway
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes

pytestmark = pytest.mark.envoy
ORIGIN = ObjectRef("Secret", "default", "tls")
AUTHORITY, CLIENTS = Authority(), Authority("clients")
OURS = AUTHORITY.issue("*.example.com")
REVOKED, VALID = (CLIENTS.issue(name, client=True) for name in ("revoked", "valid"))
ECDSA = AUTHORITY.issue("two.example.com")
RSA = AUTHORITY.issue("two.example.com", rsa=True)

LISTENERS = (
    tls_listener("http", "any.example.com", certificate="ours"),
    tls_listener("old", "old.example.com", certificate="ours", max_version="1.2"),
    tls_listener(
        "cipher",
        "cipher.example.com",
        certificate="ours",
        cipher_suites=("ECDHE-ECDSA-AES256-GCM-SHA384",),
    ),
    tls_listener("curve", "curve.example.com", certificate="ours", curves=("P-384",)),
    tls_listener("h1", "h1.example.com", certificate="ours", alpn=("http/1.1",)),
    tls_listener("h2", "h2.example.com", certificate="ours", alpn=("h2",)),
    tls_listener("mutual", "mutual.example.com", certificate="ours", client_ca="clients"),
    tls_listener(
        "chain", "chain.example.com", certificate="ours", client_ca="clients", forward=("Cert",)
    ),
    tls_listener("stapled", "stapled.example.com", certificate="stapled"),
    tls_listener("two", "two.example.com", certificates=("rsa", "ecdsa"), certificate=""),
    replace(
        tls_listener("closed", "closed.example.com", certificate="ours"), tls=None, closed=True
    ),
    tls_listener("rest", "*.example.com", certificate="ours"),
)


def secret(name: str, pair: Pair, **fields: bytes) -> CertificateIR:
    return CertificateIR(name, ORIGIN, pair.certificate, SecretBytes(pair.key), **fields)


CERTIFICATES = (
    secret("ours", OURS),
    secret("stapled", OURS, ocsp_staple=AUTHORITY.staple(OURS.certificate)),
    secret("ecdsa", ECDSA),
    secret("rsa", RSA),
    CertificateIR("clients", ORIGIN, CLIENTS.pem, crl=CLIENTS.revoke(REVOKED.certificate)),
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with EchoUpstream() as echo:
        served: Gateway = simple(echo, listeners=LISTENERS, certificates=CERTIFICATES)
        with GatewayEnvoy(served) as running:
            yield running.port


def refused(port: int, context: ssl.SSLContext, name: str) -> bool:
    try:
        return not get(port, context, f"{name}.example.com").startswith(b"HTTP/1.1 200 ")
    except (ssl.SSLError, ConnectionResetError):
        return True


def test_a_client_above_the_maximum_version_is_refused(port: int) -> None:
    new = trusting(AUTHORITY)
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    assert refused(port, new, "old")
    assert not refused(port, new, "any")
    with handshake(port, trusting(AUTHORITY), "old.example.com") as secured:
        assert secured.version() == "TLSv1.2"


@pytest.mark.parametrize(
    ("cipher", "accepted"),
    [("ECDHE-ECDSA-AES256-GCM-SHA384", True), ("ECDHE-ECDSA-AES128-GCM-SHA256", False)],
)
def test_only_the_chosen_cipher_suites_are_spoken(port: int, cipher: str, accepted: bool) -> None:
    context = trusting(AUTHORITY)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    assert refused(port, context, "cipher") is not accepted
    assert not refused(port, context, "any")


@pytest.mark.parametrize(("curve", "accepted"), [("secp384r1", True), ("prime256v1", False)])
def test_only_the_chosen_curves_are_spoken(port: int, curve: str, accepted: bool) -> None:
    context = trusting(AUTHORITY)
    context.set_ecdh_curve(curve)
    assert refused(port, context, "curve") is not accepted
    # Envoy's own choice is X25519 and P-256
    assert refused(port, context, "any") is accepted


@pytest.mark.parametrize(("name", "chosen"), [("h1", "http/1.1"), ("h2", "h2"), ("any", "h2")])
def test_only_the_chosen_protocols_are_offered(port: int, name: str, chosen: str) -> None:
    context = trusting(AUTHORITY, "h2", "http/1.1")
    with handshake(port, context, f"{name}.example.com") as secured:
        assert secured.selected_alpn_protocol() == chosen


def test_a_revoked_client_certificate_is_refused(port: int) -> None:
    assert refused(port, trusting(AUTHORITY, client=REVOKED), "mutual")
    assert not refused(port, trusting(AUTHORITY, client=VALID), "mutual")


def told(port: int, name: str, client: Pair | None) -> str:
    """The line of the echo upstream with x-forwarded-client-cert, when a client says it, too."""
    forged = "x-forwarded-client-cert: By=spiffe://forged;Hash=00;Subject=forged"
    answer = get(port, trusting(AUTHORITY, client=client), f"{name}.example.com", forged)
    assert answer.startswith(b"HTTP/1.1 200 ")
    return answer.decode()


def test_upstreams_learn_of_the_client_certificate_and_of_no_other(port: int) -> None:
    answer = told(port, "mutual", VALID)
    assert r"Subject=\"CN=valid\"" in answer
    assert "DNS=valid" in answer
    assert "Cert=" not in answer
    assert "forged" not in answer


def test_a_client_without_certificate_cannot_claim_one(port: int) -> None:
    assert "x-forwarded-client-cert" not in told(port, "any", None)


def test_upstreams_learn_the_whole_certificate_where_asked(port: int) -> None:
    answer = told(port, "chain", VALID)
    assert "Cert=" in answer
    assert "forged" not in answer


def test_a_response_is_stapled_to_its_certificate(port: int) -> None:
    assert stapled_by(port, "stapled") == OUR_SERIAL
    assert stapled_by(port, "any") is None


OUR_SERIAL = x509.load_pem_x509_certificate(OURS.certificate).serial_number


def stapled_by(port: int, name: str) -> int | None:
    """The serial number that the stapled OCSP response is about, by OpenSSL's client."""
    found: list[bytes] = []
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_ocsp_client_callback(lambda _, response, __: found.append(response) or True)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        connection = SSL.Connection(context, plain)
        connection.set_tlsext_host_name(f"{name}.example.com".encode())
        connection.request_ocsp()
        connection.set_connect_state()
        plain.settimeout(None)
        connection.do_handshake()
    (response,) = found
    return ocsp.load_der_ocsp_response(response).serial_number if response else None


@pytest.mark.parametrize(
    ("cipher", "kind"),
    [("ECDHE-RSA-AES128-GCM-SHA256", rsa.RSAPublicKey),
     ("ECDHE-ECDSA-AES128-GCM-SHA256", ec.EllipticCurvePublicKey)],
)  # fmt: skip
def test_of_two_certificates_the_client_gets_the_one_it_can_use(
    port: int, cipher: str, kind: type
) -> None:
    context = trusting(AUTHORITY)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    with handshake(port, context, "two.example.com") as secured:
        presented = secured.getpeercert(binary_form=True)
    assert presented is not None
    assert isinstance(x509.load_der_x509_certificate(presented).public_key(), kind)


def test_the_names_of_a_closed_listener_do_not_come_to_another(port: int) -> None:
    assert refused(port, trusting(AUTHORITY), "closed")
    assert not refused(port, trusting(AUTHORITY), "whatever")
