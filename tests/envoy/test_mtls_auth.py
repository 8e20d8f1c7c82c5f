"""``mtls-auth``, enforced by the real Envoy with real certificates."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from support.certificates import Authority, Pair
from support.client import Response, request
from support.documents import CLOSED, Documents, gateway, obj, route, secret, tls_secret
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
SPIFFE = "spiffe://example.com/ns/shop/sa/web"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def clients(authority: Authority) -> dict[str, Pair]:
    def issue(*names: str, **fields: Any) -> Pair:
        return authority.issue(*names, client=True, **fields)

    return {
        "spiffe": issue(SPIFFE, "client.example.com"),
        "neighbour": issue("spiffe://example.com/ns/shopping/sa/web"),
        "dns": issue("client.example.com"),
        "below": issue("a.clients.example.com"),
        "mail": issue("client@example.com", organization="Example"),
        "batch": issue("batch", organization="Example"),
        "forger": issue('x",O=Example;Subject="CN=batch', "forger.example.com"),
        "other": issue("other.example.org"),
    }


def fingerprint(pair: Pair) -> str:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(
    echo: EchoUpstream, authority: Authority, clients: dict[str, Pair]
) -> Iterator[Documents]:
    def for_whom(name: str, **config: object) -> dict[str, object]:
        return route(name, echo.port, {"mtls-auth": config})

    listener = {
        "name": "http",
        "port": 8443,
        "protocol": "HTTPS",
        "tls": {
            "certificateRefs": [{"name": "web"}],
            "clientValidation": {"caCertificateRef": {"name": "ca"}, "optional": True},
        },
    }
    plain = {"name": "plain", "port": 8080}
    documents = (
        gateway(listeners=[listener, plain]),
        tls_secret("web", authority.issue("127.0.0.1", "spiffe://example.com/gateway")),
        secret("ca", {"ca.crt": authority.pem}),
        for_whom("any"),
        for_whom("spiffe", spiffeIds=[SPIFFE]),
        for_whom("below", spiffeIds=["spiffe://example.com/ns/shop/*"]),
        for_whom("uri", uris=[SPIFFE]),
        for_whom("dns", dnsNames=["client.example.com", "*.clients.example.com"]),
        for_whom("mail", emails=["client@example.com"]),
        for_whom("subject", subjects=["O=Example,CN=batch"]),
        for_whom("print", fingerprints=[fingerprint(clients["batch"])]),
        for_whom(
            "several", dnsNames=["client.example.com"], fingerprints=[fingerprint(clients["mail"])]
        ),
        route(
            "both",
            echo.port,
            {"mtls-auth": {"fingerprints": [fingerprint(clients["batch"])]}},
            {"ip-restriction": {"deny": ["127.0.0.0/8"]}},
        ),
        route("open", echo.port),
        obj(
            "ApiKey",
            "key",
            {
                "hash": hashlib.sha256(KEY.encode()).hexdigest(),
                "prefix": "flc_service_",
                "lastFour": "Z012",
            },
        ),
        route(
            "or-key",
            echo.port,
            {"mtls-auth": {"spiffeIds": [SPIFFE]}},
            auth={"credentials": ["MTLS", "ApiKey"]},
        ),
        route(
            "and-key",
            echo.port,
            {"mtls-auth": {"spiffeIds": [SPIFFE]}},
            auth={"credentials": ["ApiKey"]},
        ),
        for_whom("malformed", fingerprints=["abc"]),
    )
    with Documents(*documents) as running:
        yield running


class Caller:
    """Calls with a client certificate, or without one."""

    def __init__(self, served: Documents, authority: Authority, folder: Path) -> None:
        self._served, self._authority, self._folder = served, authority, folder

    def __call__(self, path: str, pair: Pair | None = None, *headers: tuple[str, str]) -> Response:
        context = ssl.create_default_context(cadata=self._authority.pem.decode())
        if pair is not None:
            file = self._folder / "client.pem"
            file.write_bytes(pair.certificate + pair.key)
            context.load_cert_chain(file)
        return self._served.get(path, headers, tls=context)


@pytest.fixture
def call(served: Documents, authority: Authority, tmp_path: Path) -> Caller:
    return Caller(served, authority, tmp_path)


@pytest.mark.parametrize(
    ("path", "admitted"),
    [
        ("/any", "spiffe neighbour dns below mail batch forger other"),
        ("/spiffe", "spiffe"),
        ("/below", "spiffe"),
        ("/uri", "spiffe"),
        ("/dns", "spiffe dns below"),
        ("/mail", "mail"),
        ("/subject", "batch"),
        ("/print", "batch"),
        ("/several", "spiffe dns mail"),
        ("/both", ""),
        ("/open", "spiffe neighbour dns below mail batch forger other"),
    ],
)
def test_the_certificates_that_are_named_may_call_and_no_others(
    call: Caller, clients: dict[str, Pair], path: str, admitted: str
) -> None:
    statuses = {name: call(path, pair).status for name, pair in clients.items()}
    assert {name for name, status in statuses.items() if status == 200} == set(admitted.split())
    assert set(statuses.values()) <= {200, 403}


def test_without_a_certificate_the_request_is_refused(call: Caller) -> None:
    answer = call("/any")
    assert answer.status == 403
    assert answer.json()["error"] == "forbidden"
    assert answer.json()["message"] == "The client's address or certificate may not use this route."
    assert call("/open").status == 200


def test_without_tls_the_request_is_refused(served: Documents) -> None:
    plain = served.envoy.port("plain")
    assert [request(plain, path).status for path in ("/any", "/print", "/open")] == [403, 403, 200]


def test_a_certificate_of_another_authority_ends_the_handshake(call: Caller) -> None:
    stranger = Authority("stranger").issue("client.example.com", client=True)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call("/any", stranger)


def test_the_upstream_is_told_whose_the_certificate_is_and_only_by_the_gateway(
    call: Caller, clients: dict[str, Pair]
) -> None:
    forged = ("x-forwarded-client-cert", 'Hash=00;Subject="CN=root"')
    (told,) = call("/spiffe", clients["spiffe"], forged).echoed("x-forwarded-client-cert")
    print_ = fingerprint(clients["spiffe"]).replace(":", "").lower()
    assert f"Hash={print_}" in told
    assert f"URI={SPIFFE}" in told
    assert "DNS=client.example.com" in told
    assert "root" not in told


def test_a_client_without_a_certificate_cannot_claim_one(call: Caller) -> None:
    forged = ("x-forwarded-client-cert", f"URI={SPIFFE}")
    assert call("/open", None, forged).echoed("x-forwarded-client-cert") == []
    assert call("/spiffe", None, forged).status == 403


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("spiffe", SPIFFE),
        ("dns", "client.example.com"),
        ("mail", "O=Example%2CCN=client@example.com"),
        ("batch", "batch"),
    ],
)
def test_the_certificate_says_who_is_calling(
    call: Caller, clients: dict[str, Pair], name: str, subject: str
) -> None:
    answer = call("/any", clients[name], ("x-auth-subject", "root"))
    assert answer.echoed("x-auth-subject") == [subject]


def test_a_key_will_do_instead_where_the_route_lists_both(
    call: Caller, clients: dict[str, Pair]
) -> None:
    key = ("apikey", KEY)
    assert call("/or-key").status == 401
    assert call("/or-key", None, key).status == 200
    assert call("/or-key", clients["spiffe"]).status == 200
    assert call("/or-key", clients["spiffe"], key).echoed("x-auth-subject") == [SPIFFE]
    assert call("/or-key", clients["other"]).status == 403
    assert call("/or-key", clients["other"], key).status == 403


def test_both_are_needed_where_the_route_lists_only_the_key(
    call: Caller, clients: dict[str, Pair]
) -> None:
    key = ("apikey", KEY)
    assert call("/and-key", None, key).status == 403
    assert call("/and-key", clients["spiffe"]).status == 401
    assert call("/and-key", clients["spiffe"], key).status == 200


def test_a_malformed_config_closes_the_route_and_names_the_field(
    served: Documents, call: Caller, clients: dict[str, Pair]
) -> None:
    condition = served.condition("Route", "malformed")
    assert condition.message.startswith("spec.plugins[0].config.fingerprints[0]: ")
    assert call("/malformed", clients["batch"]).status == CLOSED


def test_a_gateway_that_verifies_nobody_refuses_everybody_and_the_route_says_so(
    echo: EchoUpstream,
) -> None:
    with Documents(gateway(), route("any", echo.port, {"mtls-auth": {}})) as served:
        assert served.get("/any").status == 403
        condition = served.condition("Route", "any")
    assert (condition.status, str(condition.reason)) == (True, "PartiallyAccepted")
    assert "tls.clientValidation" in condition.message
