"""``fluxgate bootstrap``: what an Envoy elsewhere starts with."""

from __future__ import annotations

import json

import pytest
from support.commandline import Fluxgate

NODE = ("--gateway", "main", "--node-id", "edge-1")
TLS = ("--tls-ca", "/tls/ca.crt", "--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key")


def test_it_says_who_the_node_is_and_where_its_control_plane_is(fluxgate: Fluxgate) -> None:
    made = fluxgate("bootstrap", "--xds-address", "127.0.0.1:18000", *NODE)
    assert made.code == 0, made.err
    document = json.loads(made.out)
    assert document["node"]["id"] == "edge-1"
    assert document["node"]["cluster"] == "main"
    assert '"portValue": 18000' in made.out
    assert document["dynamicResources"]["adsConfig"]["apiType"] == "DELTA_GRPC"


def test_a_control_plane_elsewhere_needs_mutual_tls(fluxgate: Fluxgate) -> None:
    refused = fluxgate("bootstrap", "--xds-address", "xds.example.com:18000", *NODE)
    assert refused.code == 2
    assert "--tls-ca" in refused.err
    assert refused.out == ""


def test_with_tls_it_presents_a_certificate_and_checks_the_servers(fluxgate: Fluxgate) -> None:
    made = fluxgate("bootstrap", "--xds-address", "xds.example.com:18000", *NODE, *TLS)
    assert made.code == 0, made.err
    for file in ("/tls/ca.crt", "/tls/tls.crt", "/tls/tls.key", '"sni": "xds.example.com"'):
        assert file in made.out


def test_half_of_the_tls_files_are_refused(fluxgate: Fluxgate) -> None:
    refused = fluxgate("bootstrap", "--xds-address", "127.0.0.1:18000", *NODE, *TLS[:2])
    assert refused.code == 2
    assert "together" in refused.err


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", ":1", "h:x"])
def test_an_address_is_host_and_port(fluxgate: Fluxgate, address: str) -> None:
    refused = fluxgate("bootstrap", "--xds-address", address, *NODE)
    assert refused.code == 2
    assert "HOST:PORT" in refused.err


def test_a_probed_node_has_the_probes_listener(fluxgate: Fluxgate) -> None:
    made = fluxgate(
        "bootstrap", "--xds-address", "127.0.0.1:18000", "--probe-address", "127.0.0.1:18001", *NODE
    )
    listeners = json.loads(made.out)["staticResources"]["listeners"]
    assert [each["name"] for each in listeners] == ["fluxgate-probe"]


def test_a_relay_passes_xds_on_and_asks_for_nothing_itself(fluxgate: Fluxgate) -> None:
    made = fluxgate(
        *("bootstrap", "--xds-address", "127.0.0.1:18000", *NODE),
        *("--relay-address", "127.0.0.1:18010"),
    )
    assert made.code == 0, made.err
    document = json.loads(made.out)
    assert "dynamicResources" not in document
    (listener,) = document["staticResources"]["listeners"]
    assert listener["address"]["socketAddress"] == {"address": "127.0.0.1", "portValue": 18010}


def test_a_relay_listens_on_loopback_only(fluxgate: Fluxgate) -> None:
    refused = fluxgate(
        *("bootstrap", "--xds-address", "127.0.0.1:18000", *NODE),
        *("--relay-address", "0.0.0.0:18010"),
    )
    assert refused.code == 2
    assert "--relay-address" in refused.err
