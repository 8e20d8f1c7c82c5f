"""Nodes when their pod, their account or the API server is gone; the real API server and Envoy."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from google.protobuf.json_format import MessageToDict
from support.certificates import Authority
from support.cluster import ControlPlane, OwnControlPlane
from support.control_plane import ControlPlane as Plane
from support.control_plane import control_plane as running_plane
from support.envoy import EnvoyProcess
from support.kubelet import Kubelet
from support.ports import free_port
from support.statuses import until, until_said
from support.upstream import EchoUpstream

from fluxgate.xds import typeurl
from fluxgate.xds.probe import build_probe_listener
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, build_bootstrap
from fluxgate_operator.envoy.token_identity import TokenIdentity, secret_files
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.identity.reviewer import ReviewSettings
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_xds.credentials import TLSFiles
from fluxgate_xds.server import XdsServer, XdsServerSettings
from fluxgate_xds.service import ADS
from fluxgate_xds.tokens import TokenAuthority

AUDIENCE = "fluxgate-xds"
NAME = "xds.example.com"
FORGET = ReviewSettings(keep=0.5, keep_refused=0.1)
"""What takes five minutes and five seconds otherwise; the API server's own memory is ten."""


@dataclass
class World:
    """An xDS server that reviews tokens, and may be started anew."""

    plane: Plane
    settings: XdsServerSettings
    ca: bytes
    known: asyncio.Event
    reviewers: list[KubeClient] = field(default_factory=list)

    def configure(self, namespace: str, port: int = 8080, app: int = 80) -> None:
        """A gateway ``edge`` with one route, in a namespace."""
        self.plane.apply(f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: edge, namespace: {namespace}}}
spec: {{listeners: [{{name: http, address: 127.0.0.1, port: {port}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {{name: app, namespace: {namespace}}}
spec: {{targets: [{{host: 127.0.0.1, port: {app}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: app, namespace: {namespace}}}
spec: {{matches: [{{path: {{value: /}}}}], backends: [{{kind: Upstream, name: app}}]}}
""")

    async def restart(self, reviewer: ApiTokenReviewer) -> None:
        """Another process on the same port, which remembers no token."""
        await self.plane.server.stop(0.2)
        assert self.settings.tokens is not None
        tokens = replace(self.settings.tokens, reviewer=reviewer)
        settings = replace(self.settings, port=self.plane.port, tokens=tokens)
        self.plane.server = XdsServer(settings, self.plane.cache, self.plane.registry)
        await self.plane.server.start()

    @contextlib.asynccontextmanager
    async def stream(
        self, gateway: str, token: str, node: str = "envoy-1"
    ) -> AsyncIterator[Stream]:
        """An open discovery stream."""
        credentials = grpc.ssl_channel_credentials(self.ca)
        options = [("grpc.ssl_target_name_override", NAME)]
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{self.plane.port}", credentials, options
        ) as channel:
            call = channel.stream_stream(
                f"/{ADS}/DeltaAggregatedResources",
                request_serializer=discovery_v3.DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=discovery_v3.DeltaDiscoveryResponse.FromString,
            )(metadata=[("authorization", f"Bearer {token}")])
            request = discovery_v3.DeltaDiscoveryRequest(type_url=typeurl.CLUSTER)
            request.node.id, request.node.cluster = node, gateway
            await call.write(request)
            yield Stream(call)

    async def ask(self, gateway: str, token: str) -> str:
        """What becomes of a new stream: "served", or how it is refused."""
        async with self.stream(gateway, token) as stream:
            return await stream.answer()


@dataclass
class Stream:
    """One call of ADS."""

    call: grpc.aio.StreamStreamCall  # type: ignore[type-arg]

    async def answer(self) -> str:
        """ "served" for a response, else code and details."""
        try:
            async with asyncio.timeout(60):
                await self.call.read()
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return "served"


@contextlib.asynccontextmanager
async def world_of(kube: KubeClient, folder: Path) -> AsyncIterator[World]:
    authority = Authority()
    pair = authority.issue(NAME, "127.0.0.1")
    for name, content in (("crt", pair.certificate), ("key", pair.key), ("ca", authority.pem)):
        (folder / name).write_bytes(content)
    known = asyncio.Event()
    known.set()

    async def there() -> None:
        await known.wait()

    plane: Plane
    tokens = TokenAuthority(
        ApiTokenReviewer(kube, settings=FORGET),
        may_be_node(lambda: plane.store.freeze().gateway_configs if known.is_set() else {}),
        there,
    )
    settings = XdsServerSettings(
        port=0, tls=TLSFiles(folder / "crt", folder / "key", folder / "ca"), tokens=tokens
    )
    async with running_plane(NoValidator("none"), settings) as plane:
        plane.synced()
        yield World(plane, settings, authority.pem, known)


@pytest.fixture
async def world(kube: KubeClient, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(kube, tmp_path) as world:
        yield world


def pod_in(plane: ControlPlane, namespace: str, folder: Path, account: str = "default") -> Kubelet:
    """Pod ``envoy-1``."""
    spec = {
        "serviceAccountName": account,
        "containers": [{"name": "envoy", "image": "envoy.example.com/envoy:1"}],
    }
    body = {"metadata": {"name": "envoy-1", "namespace": namespace}, "spec": spec}
    made = plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    return Kubelet(plane, made, folder)


@pytest.mark.parametrize("gone", ["pods/envoy-1", "serviceaccounts/robot"])
async def test_the_token_of_a_pod_or_account_that_is_gone_opens_no_more_streams(
    world: World, control_plane: ControlPlane, namespace: str, tmp_path: Path, gone: str
):
    control_plane.new_service_account(namespace, "robot")
    world.configure(namespace)
    token = pod_in(control_plane, namespace, tmp_path, "robot").token(AUDIENCE)
    gateway = f"{namespace}/edge"
    assert await world.ask(gateway, token) == "served"

    kind, name = gone.split("/")
    now = {"gracePeriodSeconds": 0}
    control_plane.request("DELETE", f"/api/v1/namespaces/{namespace}/{kind}/{name}", now)

    # ours forgets after 0.5 s here; the API server itself believes what it knows for 10 s
    said = await until_said(lambda: world.ask(gateway, token), lambda said: said != "served")
    assert said.startswith("UNAUTHENTICATED: the ServiceAccount token is expired, revoked")


async def test_a_node_that_comes_before_its_gateway_is_read_waits_and_is_not_refused(
    world: World, control_plane: ControlPlane, namespace: str, tmp_path: Path
):
    world.configure(namespace)
    token = pod_in(control_plane, namespace, tmp_path).token(AUDIENCE)
    world.known.clear()
    async with world.stream(f"{namespace}/edge", token) as stream:
        answer = asyncio.create_task(stream.answer())
        done, _ = await asyncio.wait({answer}, timeout=0.5)
        assert not done
        world.known.set()
        assert await answer == "served"


async def test_without_an_api_server_streams_stay_and_new_ones_may_try_again(
    own_control_plane: OwnControlPlane, tmp_path: Path
):
    plane, namespace = own_control_plane, "default"
    plane.new_service_account(namespace, "default")
    access = await load_access(plane.kubeconfig, None, {})
    async with KubeClient(access, timeout=20.0) as kube, world_of(kube, tmp_path) as world:
        world.configure(namespace)
        token = pod_in(plane, namespace, tmp_path).token(AUDIENCE)
        async with world.stream("edge", token) as stream:
            assert await stream.answer() == "served"
            plane.stop_api_server()
            # until what was reviewed before is forgotten
            said = await until_said(lambda: world.ask("edge", token), lambda said: said != "served")
            assert said.startswith("UNAVAILABLE: the token cannot be reviewed: ")
            assert not stream.call.done()
        plane.start_api_server()
        assert await world.ask("edge", token) == "served"


@contextlib.asynccontextmanager
async def envoy_of(
    world: World, kubelet: Kubelet, gateway: str, folder: Path
) -> AsyncIterator[EnvoyProcess]:
    """The real Envoy with a pod's token in its folder."""
    xds = folder / "xds"
    xds.mkdir()
    (xds / "token").write_text(await asyncio.to_thread(kubelet.token, AUDIENCE))
    (xds / "ca.crt").write_bytes(world.ca)
    for name, content in secret_files(xds).items():  # type: ignore[arg-type]
        (xds / name).write_text(content)
    probe = ("127.0.0.1", free_port())
    bootstrap = build_bootstrap(
        BootstrapOptions(
            node_id="envoy-1",
            gateway=gateway,
            xds_host="127.0.0.1",
            xds_port=world.plane.port,
            xds_token=TokenIdentity(NAME, xds),  # type: ignore[arg-type]
            admin=("127.0.0.1", 0),
            concurrency=1,
            probe=probe,
            probe_listener=MessageToDict(build_probe_listener(*probe)),
        )
    )
    with EnvoyProcess(bootstrap, ready=False) as envoy:
        yield envoy


async def test_an_envoy_refused_while_a_restarted_controller_cannot_ask_comes_back_by_itself(
    own_control_plane: OwnControlPlane, tmp_path: Path
):
    plane, port = own_control_plane, free_port()
    plane.new_service_account("default", "default")
    access = await load_access(plane.kubeconfig, None, {})
    async with KubeClient(access, timeout=20.0) as kube, world_of(kube, tmp_path) as world:
        with EchoUpstream() as app:
            world.configure("default", port, app.port)
            kubelet = pod_in(plane, "default", tmp_path)
            async with envoy_of(world, kubelet, "edge", tmp_path):
                await _served(port)
                await asyncio.to_thread(plane.stop_api_server)
                await world.restart(ApiTokenReviewer(kube, settings=FORGET))
                refused = world.plane.registry.counters.streams_refused
                counters = world.plane.registry.counters
                await until(lambda: counters.streams_refused >= refused + 2)
                assert not any(each.connected for each in world.plane.registry.nodes())
                await _served(port)
                await asyncio.to_thread(plane.start_api_server)
                # Envoy tries again after at most 30 s
                nodes = world.plane.registry.nodes
                await until(lambda: any(each.connected for each in nodes()))


async def test_envoys_log_names_the_remedy_when_its_account_is_not_listed(
    world: World, control_plane: ControlPlane, namespace: str, tmp_path: Path
):
    world.configure("elsewhere")
    kubelet = pod_in(control_plane, namespace, tmp_path)
    async with envoy_of(world, kubelet, "elsewhere/edge", tmp_path) as envoy:
        await until(lambda: "spec.allowedServiceAccounts" in envoy.log)
        assert f"{namespace}/default may not be a node of" in envoy.log


async def _served(port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
