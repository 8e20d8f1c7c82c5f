"""Running Envoys while the authority changes: the chart's gateway, and sidecars."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import structlog
from cryptography import x509
from structlog.testing import capture_logs
from support.cluster import ControlPlane
from support.control_plane import ControlPlane as Plane
from support.control_plane import control_plane as running_plane
from support.envoy import envoy_binary
from support.helm import offline
from support.kubelet import Kubelet
from support.ports import free_port
from support.statuses import until
from support.upstream import EchoUpstream

from fluxgate_operator.certificates import Certificates, CertificateSettings
from fluxgate_operator.certificates.rotation import RotationSettings
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings, SidecarTrust, inject
from fluxgate_operator.sidecar.trust import outdated
from fluxgate_xds.server import XdsServer, XdsServerSettings
from fluxgate_xds.tokens import TokenAuthority

SERVICE = "fluxgate-controller"
LIFE = dt.timedelta(days=10)
BEGIN, ANNOUNCED, SWITCHED, OVER = (dt.timedelta(days=each) for each in (-9.5, -2, -0.3, 0.6))
"""The clock, from now: all certificates are valid by the real one, which is Envoy's."""


class Clock:
    """Time that tests move on."""

    def __init__(self) -> None:
        self.ahead = BEGIN

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead


@dataclass
class World:
    """A leading replica's certificates, and an xDS server that can be restarted."""

    plane: Plane
    certificates: Certificates
    clock: Clock
    namespace: str
    settings: XdsServerSettings

    async def at(self, ahead: dt.timedelta) -> bytes:
        """Move the clock; returns the bundle once it is another one."""
        before = self.certificates.ca_pem
        self.clock.ahead = ahead
        self.certificates.poke()
        await until(lambda: self.certificates.ca_pem != before)
        return self.certificates.ca_pem

    def signer(self) -> x509.Name:
        """Whose key signed what the server shows now."""
        pem = self.certificates.server_tls().certificate.read_bytes()
        issuer = x509.load_pem_x509_certificate(pem).extensions
        found = issuer.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        return found.key_identifier

    async def restart(self) -> None:
        """Another process on the same port: every node has to connect anew."""
        await self.plane.server.stop(0.2)
        settings = replace(self.settings, port=self.plane.port)
        self.plane.server = XdsServer(settings, self.plane.cache, self.plane.registry)
        await self.plane.server.start()

    def connected(self) -> set[str]:
        """Ids of the nodes that are connected."""
        return {each.id for each in self.plane.registry.nodes() if each.connected}

    async def published(self, plane: ControlPlane, bundle: bytes) -> None:
        """Wait for the ConfigMap."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/fluxgate-ca"

        def there() -> bool:
            return bool(plane.request("GET", path)["data"]["ca.crt"] == bundle.decode())

        await until(there)


@pytest.fixture
async def world(kube: KubeClient, namespace: str) -> AsyncIterator[World]:
    clock = Clock()
    rotation = RotationSettings(life=LIFE, certificate_life=LIFE)
    certificates = Certificates(
        kube,
        ControllerSettings(namespace, "replica-0", service=SERVICE),
        lambda: True,
        structlog.get_logger(),
        CertificateSettings(rotation, check=3600, retry=0.05),
        clock,
    )
    task = asyncio.create_task(certificates.run())
    async with asyncio.timeout(60):
        await certificates.ready.wait()
    plane: Plane
    tokens = TokenAuthority(
        ApiTokenReviewer(kube), may_be_node(lambda: plane.store.freeze().gateway_configs)
    )
    settings = XdsServerSettings(port=0, tls=certificates.server_tls(), tokens=tokens)
    async with running_plane(NoValidator("none"), settings) as plane:
        plane.synced()
        yield World(plane, certificates, clock, namespace, settings)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Load:
    """Requests one after the other while the context lasts; what was not 200 is kept."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"
        self.failed: list[str] = []
        self.total = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    status = str((await client.get(self._url)).status_code)
                except httpx.HTTPError as error:
                    status = type(error).__name__
                self.total += 1
                if status != "200":
                    self.failed.append(status)
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def envoy(arguments: list[str], port: int, log: Path) -> AsyncIterator[None]:
    """A real Envoy that serves ``port``."""
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            envoy_binary(), *arguments, stdout=out, stderr=out
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200:
                        break
                assert process.returncode is None, f"Envoy has ended; see {log}"
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def documents(namespace: str, mode: str, name: str, port: int, app: int) -> str:
    kind = "Sidecar" if mode == "Sidecar" else "Static"
    return f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{mode: {mode}, listeners: [{{name: http, address: 127.0.0.1, port: {port}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {{name: app, namespace: {namespace}}}
spec: {{type: {kind}, targets: [{{host: 127.0.0.1, port: {app}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: app, namespace: {namespace}}}
spec: {{gateways: [{name}], matches: [{{path: {{value: /}}}}], backends: [{{kind: Upstream, name: app}}]}}
"""


def chart_pod(plane: ControlPlane, namespace: str, folder: Path) -> dict[str, Any]:
    """The chart's gateway: its pod, with all it refers to, in the API server."""
    helm = offline(plane.binaries["helm"], folder)
    made = {
        (each["kind"], each["metadata"]["name"]): each
        for each in helm.template({}, namespace=namespace)
    }
    for kind, name in (
        ("ConfigMap", "fluxgate-gateway-identity"),
        ("ServiceAccount", "fluxgate-gateway"),
    ):
        path = f"/api/v1/namespaces/{namespace}/{kind.lower()}s"
        plane.request("POST", path, made[kind, name])
    template = made["Deployment", "fluxgate-gateway"]["spec"]["template"]
    for each in (*template["spec"]["initContainers"], *template["spec"]["containers"]):
        # the folder of this test is in /tmp, which Kubelet would take for the container's
        each["volumeMounts"] = [m for m in each["volumeMounts"] if m["mountPath"] != "/tmp"]
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "gateway-0", "namespace": namespace},
        "spec": template["spec"],
    }
    return plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)


def write_bootstrap(kubelet: Kubelet, folder: Path, xds_port: int) -> None:
    """What the chart's init container does, on the addresses of this machine."""
    arguments = [
        each.replace("=/var/run/fluxgate/xds", f"={folder}/var/run/fluxgate/xds")
        for each in kubelet.arguments("bootstrap")
    ]
    arguments = [
        f"--xds-address=127.0.0.1:{xds_port}" if each.startswith("--xds-address") else each
        for each in arguments
    ]
    arguments = [each.replace(":19902", f":{free_port()}") for each in arguments]
    command = [str(Path(sys.executable).parent / "fluxgate"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_the_charts_envoys_follow_the_authority_to_its_successor_without_a_lost_request(
    world: World, control_plane: ControlPlane, tmp_path: Path
):
    port = free_port()
    pod = await asyncio.to_thread(chart_pod, control_plane, world.namespace, tmp_path)
    kubelet = Kubelet(control_plane, pod, tmp_path)
    with EchoUpstream() as app:
        world.plane.apply(documents(world.namespace, "Gateway", "fluxgate", port, app.port))
        await world.published(control_plane, world.certificates.ca_pem)
        await asyncio.to_thread(kubelet.project, "envoy")
        await asyncio.to_thread(write_bootstrap, kubelet, tmp_path, world.plane.port)
        arguments = kubelet.arguments("envoy")
        async with envoy(arguments, port, tmp_path / "log"), Load(port) as load:
            first = world.signer()
            (node,) = world.plane.registry.nodes()

            announced = await world.at(ANNOUNCED)
            await world.published(control_plane, announced)
            await asyncio.to_thread(kubelet.project, "envoy")
            assert world.signer() == first

            await world.at(SWITCHED)
            assert world.signer() != first
            (still,) = world.plane.registry.nodes()
            assert still.connected
            assert still.connected_at == node.connected_at, "the stream ended with the old signer"
            await world.restart()
            await until(lambda: world.connected() == {"gateway-0"})

            alone = await world.at(OVER)
            assert alone.count(b"BEGIN CERTIFICATE") == 1
            await world.published(control_plane, alone)
            await asyncio.to_thread(kubelet.project, "envoy")
            await world.restart()
            await until(lambda: world.connected() == {"gateway-0"})
            done = load.total
            await until(lambda: load.total > done + 20)
    assert load.failed == []


def injected(world: World, plane: ControlPlane, name: str, folder: Path) -> Kubelet:
    """A pod with a sidecar made now."""
    settings = SidecarSettings(
        image="fluxgate.example.com/fluxgate:1",
        xds_host="127.0.0.1",
        xds_port=world.plane.port,
        server_name=world.certificates.server_name,
        ca_pem=world.certificates.ca_pem.decode(),
    )
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": world.namespace,
            "annotations": {"gateway.fluxgate.io/gateway": "side"},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "app", "image": "app.example.com/app:1"}],
        },
    }
    configs = world.plane.store.freeze().gateway_configs
    for step in inject(pod, world.namespace, configs, settings):
        _, part, key = step["path"].split("/")
        pod[part][key] = step["value"]
    made = plane.request("POST", f"/api/v1/namespaces/{world.namespace}/pods", pod)
    kubelet = Kubelet(plane, made, folder)
    kubelet.project("fluxgate-sidecar")
    return kubelet


async def test_a_sidecar_that_does_not_trust_the_successor_is_named_long_before_it_signs(
    world: World, control_plane: ControlPlane, tmp_path: Path
):
    port = free_port()
    with EchoUpstream() as app:
        world.plane.apply(documents(world.namespace, "Sidecar", "side", port, app.port))
        old = await asyncio.to_thread(injected, world, control_plane, "old", tmp_path / "o")
        arguments = [
            each.replace("15902", str(free_port())) for each in old.arguments("fluxgate-sidecar")
        ]
        async with envoy(arguments, port, tmp_path / "log"), Load(port) as load:
            registry = world.plane.registry
            assert outdated(registry.nodes(), world.certificates.ca_pem) == ()

            await world.at(ANNOUNCED)
            (found,) = outdated(registry.nodes(), world.certificates.ca_pem)
            assert found.id == "old"
            rounds: list[bytes] = []

            def bundle() -> bytes:
                rounds.append(world.certificates.ca_pem)
                return rounds[-1]

            trust = SidecarTrust(registry, bundle, structlog.get_logger(), 0.01)
            with capture_logs() as logs:
                task = asyncio.create_task(trust.run())
                await until(lambda: len(rounds) >= 5)
                task.cancel()
            (line,) = (each for each in logs if "pod" in each)
            assert line["pod"] == f"{world.namespace}/old"
            assert "kubectl rollout restart" in line["event"]
            (family,) = trust.collect()
            assert [each.value for each in family.samples] == [1]

            await world.at(SWITCHED)
            await world.restart()
            new = await asyncio.to_thread(injected, world, control_plane, "new", tmp_path / "n")
            other = free_port()
            world.plane.apply(documents(world.namespace, "Sidecar", "side", other, app.port))
            again = [
                each.replace("15902", str(free_port()))
                for each in new.arguments("fluxgate-sidecar")
            ]
            async with envoy(again, other, tmp_path / "log-new"):
                assert world.connected() == {"new"}
                assert outdated(registry.nodes(), world.certificates.ca_pem) == ()
                done = load.total
                await until(lambda: load.total > done + 20)
    assert load.failed == [], "an Envoy without its control plane goes on serving"
