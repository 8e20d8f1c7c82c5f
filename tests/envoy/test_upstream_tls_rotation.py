"""The gateway's own certificate towards upstreams changes while requests are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from support.certificates import Authority, Pair
from support.gateway import GatewayEnvoy, simple
from support.load import Load
from support.standalone import API, GATEWAY, RunningGateway, running_gateway
from support.tls import tls_listener
from support.upstream import EchoUpstream

from fluxgate.ir import CertificateIR
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes

pytestmark = pytest.mark.envoy
ORIGIN = ObjectRef("Secret", "default", "tls")
SERVERS, CLIENTS = Authority("servers"), Authority("clients")
ROTATIONS = 3


def secret(name: str, **data: bytes) -> str:
    named = {key.replace("_", "."): value.decode() for key, value in data.items()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return yaml.safe_dump({**document, "stringData": named})


def own(pair: Pair) -> str:
    return secret("own", tls_crt=pair.certificate, tls_key=pair.key)


def upstream(port: int) -> str:
    tls = {
        "serverName": "up.example.com",
        "caCertificateRef": {"name": "servers"},
        "clientCertificateRef": {"name": "own"},
    }
    spec = {
        "targets": [{"host": "127.0.0.1", "port": port}],
        "tls": tls,
        # a connection that is open stays as it was agreed on: every request shows a new one
        "connection": {"maxRequests": 1},
    }
    return API + yaml.safe_dump({"kind": "Upstream", "metadata": {"name": "up"}, "spec": spec})


ROUTE = API + (
    "kind: Route\nmetadata: {name: all}\nspec:\n  auth: {mode: None}\n"
    "  backends: [{kind: Upstream, name: up}]\n"
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """In front of an Envoy that asks for client certificates, and says whose it got."""
    pair = SERVERS.issue("up.example.com")
    certificates = (
        CertificateIR("server", ORIGIN, pair.certificate, SecretBytes(pair.key)),
        CertificateIR("clients", ORIGIN, CLIENTS.pem),
    )
    listener = tls_listener("http", certificate="server", client_ca="clients")
    with EchoUpstream() as echo:
        asking = simple(echo, listeners=(listener,), certificates=certificates)
        with GatewayEnvoy(asking) as fronting:
            files = {
                "gateway.yaml": GATEWAY,
                "own.yaml": own(CLIENTS.issue("before", client=True)),
                "servers.yaml": secret("servers", ca_crt=SERVERS.pem),
                "upstream.yaml": upstream(fronting.port),
                "route.yaml": ROUTE,
            }
            async with running_gateway(tmp_path, files) as running:
                yield running


async def subjects(gateway: RunningGateway) -> set[str]:
    """Who the upstream is told to be talking to."""
    told = (await gateway.get("/")).echoed("x-forwarded-client-cert")
    return {each.partition("CN=")[2].partition('"')[0] for each in told}


async def test_new_connections_show_the_new_certificate_and_no_request_fails(
    gateway: RunningGateway,
) -> None:
    assert await subjects(gateway) == {"before"}
    with Load(f"http://127.0.0.1:{gateway.port}/") as load:
        for number in range(ROTATIONS):
            name, before = f"after-{number}", load.total
            gateway.write("own.yaml", own(CLIENTS.issue(name, client=True)))
            async with asyncio.timeout(60):
                while name not in await subjects(gateway) or load.total == before:
                    pass
    assert load.failed == {}


async def test_another_authority_of_the_upstream_is_trusted_as_soon_as_it_is_said(
    gateway: RunningGateway,
) -> None:
    gateway.write("servers.yaml", secret("servers", ca_crt=Authority("strangers").pem))
    async with asyncio.timeout(60):
        while (await gateway.get("/")).status == 200:
            pass
    gateway.write("servers.yaml", secret("servers", ca_crt=SERVERS.pem))
    async with asyncio.timeout(60):
        while (await gateway.get("/")).status != 200:
            pass
