"""Connections to targets: what is spoken on them, how long they live, how many requests they take."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.documents import Documents, gateway, obj, secret, tls_secret
from support.envoy import eventually
from support.fleet import Fleet, ask, same, tally
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy


def serving(targets: list[dict], *more: dict, **spec: Any) -> Documents:
    documents = [
        gateway(),
        obj("Upstream", "u", {"targets": targets, **spec}),
        obj("Route", "r", {"backends": [{"kind": "Upstream", "name": "u"}]}),
        *more,
    ]
    return Documents(*documents)


def test_a_connection_takes_so_many_requests_and_no_more() -> None:
    with Fleet("a") as fleet, serving(fleet.targets(), connection={"maxRequests": 5}) as served:
        ask(served.port, same(50, "/"))
        assert (fleet["a"].count, fleet["a"].connections) == (50, 10)


def test_without_a_limit_connections_are_used_again() -> None:
    with Fleet("a") as fleet, serving(fleet.targets()) as served:
        ask(served.port, same(50, "/"))
        assert fleet["a"].connections == 1


@pytest.mark.parametrize("limit", ["idleTimeout", "maxDuration"])
def test_a_connection_nobody_needs_is_closed_in_time(limit: str) -> None:
    with Fleet("a") as fleet, serving(fleet.targets(), connection={limit: "200ms"}) as served:
        ask(served.port, same(1, "/"))
        assert fleet["a"].connections == 1
        eventually(lambda: not fleet["a"].open, what="the connection is closed")
        ask(served.port, same(1, "/"))
        assert fleet["a"].connections == 2


def test_keepalive_probes_are_set_on_the_socket() -> None:
    """As the kernel shows it (proc(5), ``/proc/net/tcp``): the timer 02 is that of keepalive."""
    keepalive = {"idle": "600s", "interval": "5s", "probes": 3}
    for connection, timer in (({"tcpKeepalive": keepalive}, "02"), ({}, "00")):
        with Fleet("a") as fleet, serving(fleet.targets(), connection=connection) as served:
            ask(served.port, same(1, "/"))
            eventually(
                lambda port=fleet["a"].port: _timers(port) == {timer},  # noqa: B023 - called here
                what=f"the connection's timer is {timer}",
            )


def _timers(port: int) -> set[str]:
    """The kinds of timers of established connections to a port of 127.0.0.1."""
    remote = f"0100007F:{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {line[5].partition(":")[0] for line in lines if line[2] == remote and line[3] == "01"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def secured(authority: Authority) -> Iterator[Documents]:
    """A TLS server that would rather speak HTTP/2, and knows HTTP/1.1: an Envoy before an echo."""
    listener = {"name": "http", "port": 8443, "address": "127.0.0.1", "protocol": "HTTPS",
                "tls": {"certificateRefs": [{"name": "cert"}]}}  # fmt: skip
    with EchoUpstream("both") as echo:
        to = {"backends": [{"url": f"http://127.0.0.1:{echo.port}"}]}
        documents = [
            gateway(listeners=[listener]),
            tls_secret("cert", authority.issue("up.example.com")),
            obj("Route", "r", to),
        ]
        with Documents(*documents) as envoy:
            yield envoy


def over_tls(port: int, authority: Authority, protocol: str, **tls: Any) -> Documents:
    trust = {"serverName": "up.example.com", "caCertificateRef": {"name": "ca"}, **tls}
    ca = secret("ca", {"ca.crt": authority.pem})
    return serving([{"host": "127.0.0.1", "port": port}], ca, protocol=protocol, tls=trust)


@pytest.mark.parametrize(
    ("protocol", "spoken"), [("Auto", "HTTP/2"), ("HTTP2", "HTTP/2"), ("HTTP1", "HTTP/1.1")]
)
def test_tls_chooses_the_protocol_where_it_is_left_to_it(
    secured: Documents, authority: Authority, protocol: str, spoken: str
) -> None:
    with over_tls(secured.port, authority, protocol) as served:
        assert served.get(f"/{protocol}").json()["upstream"] == "both"

    def protocols() -> list[str]:
        lines = secured.envoy.access_log(count=1)
        return [line["protocol"] for line in lines if line["path"] == f"/{protocol}"]

    assert eventually(protocols, what="the line of the log") == [spoken]


def test_auto_speaks_http1_to_a_server_that_knows_nothing_else(
    authority: Authority, tmp_path: Path
) -> None:
    pair = authority.issue("up.example.com")
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    context.set_alpn_protocols(["http/1.1"])
    with (
        Fleet("old", tls=context) as fleet,
        over_tls(fleet["old"].port, authority, "Auto") as served,
    ):
        assert tally(ask(served.port, same(5, "/"))) == {"old": 5}


@pytest.mark.parametrize(("shown", "status"), [(True, 200), (False, 502)])
def test_a_target_that_asks_for_a_certificate_gets_the_gateways(
    authority: Authority, tmp_path: Path, shown: bool, status: int
) -> None:
    pair = authority.issue("up.example.com")
    (tmp_path / "pair.pem").write_bytes(pair.certificate + pair.key)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "pair.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    own = {"clientCertificateRef": {"name": "own"}} if shown else {}
    client = tls_secret("own", authority.issue("gateway.example.com", client=True))
    trust = {"serverName": "up.example.com", "caCertificateRef": {"name": "ca"}, **own}
    ca = secret("ca", {"ca.crt": authority.pem})
    with (
        Fleet("mutual", tls=context) as fleet,
        serving(fleet.targets(), ca, client, tls=trust) as served,
    ):
        assert served.get().status == status


def test_auto_without_tls_is_http1() -> None:
    with Fleet("plain") as fleet, serving(fleet.targets(), protocol="Auto") as served:
        assert tally(ask(served.port, same(5, "/"))) == {"plain": 5}
