"""Listeners: certificates that can and cannot be used, shared ports, redirects, HTTP/3."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import ocsp
from support.certificates import Authority, Pair
from unit.translator.world import World, edge, route

from fluxgate.ir import HttpsRedirectIR
from fluxgate.resources import ObjectRef, Secret
from fluxgate.secret import SecretBytes
from fluxgate.translator.certificate_files import PROBLEM, files_of
from fluxgate.translator.certificates import OUT_OF_TIME, out_of_time, validity_of
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot

AUTHORITY = Authority()
GOOD = AUTHORITY.issue("example.com")
OTHER = AUTHORITY.issue("other.example.com")


def secret(name: str, **data: bytes) -> Secret:
    named = {key.replace("__", "-").replace("_", "."): value for key, value in data.items()}
    return Secret("default", name, "Opaque", {k: SecretBytes(v) for k, v in named.items()})


def pair(name: str, made: Pair = GOOD) -> Secret:
    return secret(name, tls_crt=made.certificate, tls_key=made.key)


def https(name: str = "https", *refs: str, port: int = 443, **fields: object) -> dict:
    tls = {"certificateRefs": [{"name": each} for each in refs or ("cert",)]}
    tls |= fields.pop("tls", {})
    return {"name": name, "port": port, "protocol": "HTTPS", "tls": tls, **fields}


def world(*listeners: dict, secrets: tuple[Secret, ...] = (), **spec: object) -> World:
    return World(edge(listeners=list(listeners), **spec), *secrets, route())


def message(made: World, condition: str = "ResolvedRefs") -> str:
    return made.message("GatewayConfig", "edge", condition)


def pem(key: object, encryption: object = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def self_signed(key: object, algorithm: object) -> Pair:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        .public_key(key.public_key()).not_valid_before(now).not_valid_after(now + dt.timedelta(1))
        .sign(key, algorithm)
    )  # fmt: skip
    return Pair(made.public_bytes(serialization.Encoding.PEM), pem(key))


RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EDWARDS = ed25519.Ed25519PrivateKey.generate()
KOBLITZ = ec.generate_private_key(ec.SECP256K1())
LOCKED = pem(
    ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"passphrase")
)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (Pair(GOOD.certificate, OTHER.key), "tls.key is not the key of the certificate in tls.crt"),
        (Pair(AUTHORITY.pem + GOOD.certificate, GOOD.key), "certificate has to be the first"),
        (Pair(b"hello", GOOD.key), "tls.crt holds no PEM certificate"),
        (Pair(GOOD.certificate.replace(b"MI", b"AA"), GOOD.key), "tls.crt holds no PEM certif"),
        (Pair(GOOD.certificate, b""), "tls.key holds no PEM key"),
        (Pair(GOOD.certificate, LOCKED), "tls.key is encrypted"),
        (self_signed(RSA, hashes.SHA256()), "RSA with 1024 bits"),
        (self_signed(EDWARDS, None), "neither RSA nor ECDSA"),
        (self_signed(KOBLITZ, hashes.SHA256()), "the curve secp256k1"),
    ],
)
def test_a_certificate_that_envoy_would_refuse_is_named_and_left_out_alone(
    made: Pair, problem: str
) -> None:
    found = world(https("https", "bad", "good"), secrets=(pair("bad", made), pair("good")))
    (listener,) = found.gateway.listeners
    assert listener.tls.certificates == ("certificate/default/good",)
    assert message(found).startswith("spec.listeners[0].tls.certificateRefs[0]: Secret default/bad")
    assert problem in message(found)


def test_a_listener_without_any_usable_certificate_is_left_out_and_others_serve() -> None:
    bad = pair("cert", Pair(GOOD.certificate, OTHER.key))
    found = world(https(), {"name": "http", "port": 80}, secrets=(bad,))
    assert [each.name for each in found.gateway.listeners] == ["http"]
    assert "some listeners are left out" in message(found, "Accepted")
    assert found.verdict("GatewayConfig", "edge", "ResolvedRefs") == (False, "Invalid")


def test_intermediates_in_the_wrong_order_are_served_with_a_warning() -> None:
    stranger = Authority("stranger").pem
    chain = Pair(GOOD.certificate + stranger, GOOD.key)
    found = world(https(), secrets=(pair("cert", chain),))
    assert found.gateway.listeners[0].tls.certificates == ("certificate/default/cert",)
    assert "certificate 2 did not issue certificate 1" in message(found, "Accepted")
    assert found.verdict("GatewayConfig", "edge") == (True, "PartiallyAccepted")


def test_a_chain_in_order_is_nothing_to_report() -> None:
    chain = Pair(GOOD.certificate + AUTHORITY.pem, GOOD.key)
    found = world(https(), secrets=(pair("cert", chain),))
    assert found.verdict("GatewayConfig", "edge") == (True, "Accepted")


def test_a_certificate_is_looked_at_once_however_many_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []
    real = x509.load_pem_x509_certificates
    monkeypatch.setattr(x509, "load_pem_x509_certificates", lambda it: calls.append(it) or real(it))
    world(*(https(f"h{n}", port=n) for n in range(1, 9)), secrets=(pair("cert"),))
    assert len(calls) == 1


def validated(**fields: object) -> dict:
    return https(tls={"clientValidation": {"caCertificateRef": {"name": "ca"}, **fields}})


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "ca.crt holds no PEM certificate"),
        ({"ca_crt": AUTHORITY.pem, "ca_crl": b"hello"}, "ca.crl holds no PEM revocation list"),
        (
            {"ca_crt": AUTHORITY.pem, "ca_crl": Authority("test authority").revoke()},
            "signed by no authority in ca.crt",
        ),
    ],
)
def test_a_listener_whose_client_authority_is_unusable_is_closed(
    data: dict[str, bytes], problem: str
) -> None:
    secrets = (pair("cert"), secret("ca", **data))
    found = world(validated(), {"name": "http", "port": 80}, secrets=secrets)
    assert [each.name for each in found.gateway.listeners] == ["http"]
    assert "spec.listeners[0].tls.clientValidation.caCertificateRef: " in message(found)
    assert problem in message(found)


def test_revocation_lists_go_with_the_authority() -> None:
    revoked = AUTHORITY.revoke()
    secrets = (pair("cert"), secret("ca", ca_crt=AUTHORITY.pem, ca_crl=revoked))
    found = world(validated(forward=["Chain"]), secrets=secrets)
    bundle = next(each for each in found.gateway.certificates if each.name == "ca/default/ca")
    assert (bundle.certificate, bundle.crl) == (AUTHORITY.pem, revoked)
    assert found.gateway.listeners[0].tls.forward == ("Chain",)


def staple(made: Pair) -> bytes:
    return AUTHORITY.staple(made.certificate)


@pytest.mark.parametrize(
    ("stapled", "warning"),
    [
        (staple(GOOD), ""),
        (staple(OTHER), "it is about another certificate"),
        (b"hello", "it is no OCSP response"),
        (
            ocsp.OCSPResponseBuilder.build_unsuccessful(
                ocsp.OCSPResponseStatus.TRY_LATER
            ).public_bytes(serialization.Encoding.DER),
            "the responder did not answer",
        ),
    ],
)
def test_a_response_is_stapled_only_to_its_certificate(stapled: bytes, warning: str) -> None:
    data = {"tls_crt": GOOD.certificate, "tls_key": GOOD.key, "tls_ocsp__staple": stapled}
    found = world(https(), secrets=(secret("cert", **data),))
    (certificate,) = found.gateway.certificates
    assert certificate.ocsp_staple == (b"" if warning else stapled)
    assert warning in message(found, "Accepted")
    assert found.verdict("GatewayConfig", "edge")[1] == (
        "PartiallyAccepted" if warning else "Accepted"
    )


def named(name: str, *hostnames: str, **fields: object) -> dict:
    return https(name, hostnames=list(hostnames), **fields)


def test_listeners_of_one_port_go_by_server_name() -> None:
    found = world(named("a", "a.example.com"), named("b", "*.example.com"), named("c"),
                  secrets=(pair("cert"),))  # fmt: skip
    names = [(each.name, each.server_names) for each in found.gateway.listeners]
    assert names == [("a", ("a.example.com",)), ("b", ("*.example.com",)), ("c", ())]
    (name,) = build_snapshot(found.gateway).resources[typeurl.LISTENER]
    assert name == "a"


def test_a_server_name_goes_to_the_first_listener_of_a_port_and_the_other_is_closed() -> None:
    found = world(named("a", "x.example.com"), named("b", "x.example.com", "y.example.com"),
                  named("c"), secrets=(pair("cert"),))  # fmt: skip
    assert [(each.name, each.closed) for each in found.gateway.listeners] == [
        ("a", False), ("b", True), ("c", False)]  # fmt: skip
    assert found.gateway.listeners[1].server_names == ("y.example.com",)
    assert found.verdict("GatewayConfig", "edge") == (True, "Conflicted")
    assert "spec.listeners[1].hostnames: x.example.com goes to the listener a" in message(
        found, "Accepted"
    )


def test_any_server_name_goes_to_one_listener_of_a_port() -> None:
    found = world(named("a"), named("b", "*", "x.example.com"), secrets=(pair("cert"),))
    assert [each.name for each in found.gateway.listeners] == ["a"]
    assert "every other server name goes to the listener a" in message(found, "Accepted")


def test_the_names_of_a_listener_without_certificate_do_not_come_to_another_of_its_port() -> None:
    found = world(named("a", "x.example.com", tls={"certificateRefs": [{"name": "gone"}]}),
                  named("b"), secrets=(pair("cert"),))  # fmt: skip
    assert [(each.name, each.closed) for each in found.gateway.listeners] == [
        ("a", True), ("b", False)]  # fmt: skip


def test_a_redirect_is_the_listeners_own() -> None:
    wanted = {"port": 8443, "status": 301, "exceptPaths": ["/.well-known/acme-challenge/"]}
    found = world({"name": "http", "port": 80, "redirectToHttps": wanted})
    assert found.gateway.listeners[0].redirect == HttpsRedirectIR(
        8443, 301, ("/.well-known/acme-challenge/",)
    )


@pytest.mark.parametrize(
    ("fields", "exposure", "port"),
    [
        ({}, {}, 8443),
        ({}, {"ports": [{"listener": "https", "port": 443}]}, 443),
        ({"http3Port": 444}, {"ports": [{"listener": "https", "port": 443}]}, 444),
        ({}, {"ports": [{"listener": "https"}]}, 8443),
    ],
)
def test_clients_are_told_the_port_of_http_3_that_they_can_reach(
    fields: dict, exposure: dict, port: int
) -> None:
    listener = https(port=8443, http3=True, **fields)
    found = world(listener, secrets=(pair("cert"),), exposure={"kind": "LoadBalancer", **exposure})
    assert (found.gateway.listeners[0].http3, found.gateway.listeners[0].alt_svc_port) == (
        True,
        port,
    )


def test_listeners_of_one_port_serve_http_3_together_or_not_at_all() -> None:
    both = [named("a", "x.example.com", http3=True), named("b", http3=True)]
    assert [each.http3 for each in world(*both, secrets=(pair("cert"),)).gateway.listeners] == [
        True, True]  # fmt: skip
    found = world(both[0], named("b"), secrets=(pair("cert"),))
    assert [each.http3 for each in found.gateway.listeners] == [False, False]
    assert "a: no HTTP/3, since another listener" in message(found, "Accepted")


def test_a_certificate_out_of_its_time_is_served_with_a_warning() -> None:
    late = out_of_time(ObjectRef("Secret", "default", "cert"))
    told = Secret("default", late.name, "", {OUT_OF_TIME: SecretBytes(b"expired at midnight")})
    found = world(https(), secrets=(pair("cert"), told))
    assert found.gateway.listeners[0].tls.certificates == ("certificate/default/cert",)
    assert "Secret default/cert: the certificate expired at midnight" in message(found, "Accepted")


def test_the_time_of_a_certificate_is_that_of_the_first() -> None:
    # not as long as the authority's, which stands behind it
    short = AUTHORITY.issue("example.com", ends=dt.timedelta(minutes=30))
    first = x509.load_pem_x509_certificate(short.certificate)
    found = validity_of(pair("cert", Pair(short.certificate + AUTHORITY.pem, short.key)))
    assert found == (first.not_valid_before_utc, first.not_valid_after_utc)
    assert validity_of(secret("none")) is None
    assert validity_of(pair("bad", Pair(b"hello", b""))) is None


FILES = {"certificate": "/tls/chain.pem", "key": "/tls/key.pem"}


def of_files(**tls: object) -> dict:
    fields = {"certificateFiles": [FILES], **tls}
    return {"name": "https", "port": 443, "protocol": "HTTPS", "tls": fields}


def test_files_are_read_where_there_is_no_kubernetes_only() -> None:
    found = world(of_files(), {"name": "http", "port": 80})
    assert [each.name for each in found.gateway.listeners] == ["http"]
    assert "spec.listeners[0].tls.certificateFiles[0]: only a gateway without" in message(found)


def test_files_serve_like_the_secret_they_stand_for() -> None:
    validation = {"caCertificateFile": "/tls/ca.pem", "crlFile": "/tls/ca.crl"}
    listener = of_files(clientValidation=validation)
    server, clients = files_of(edge(listeners=[listener]))
    assert server.paths == (("tls.crt", "/tls/chain.pem"), ("tls.key", "/tls/key.pem"))
    assert clients.paths == (("ca.crt", "/tls/ca.pem"), ("ca.crl", "/tls/ca.crl"))
    assert str(server.ref) == "File default//tls/chain.pem"
    read = (
        secret(server.ref.name, tls_crt=GOOD.certificate, tls_key=GOOD.key),
        secret(clients.ref.name, ca_crt=AUTHORITY.pem, ca_crl=AUTHORITY.revoke()),
    )
    found = world(listener, secrets=read)
    made = {each.name: each for each in found.gateway.certificates}
    tls = found.gateway.listeners[0].tls
    assert made[tls.certificates[0]].certificate == GOOD.certificate
    assert made[tls.client_ca].certificate == AUTHORITY.pem
    build_snapshot(found.gateway)


def test_a_file_that_cannot_be_read_is_named() -> None:
    (server,) = files_of(edge(listeners=[of_files()]))
    unread = Secret("default", server.ref.name, "", {PROBLEM: SecretBytes(b"/tls/key.pem: gone")})
    found = world(of_files(), secrets=(unread,))
    assert "certificateFiles[0]: /tls/key.pem: gone" in message(found)
