"""A pod asks for a sidecar: the real API server calls the webhook, and the real Envoy serves it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from support.cluster import ClusterError, ControlPlane
from support.control_plane import ControlPlane as Plane
from support.control_plane import control_plane as running_plane
from support.envoy import envoy_binary
from support.kubelet import Kubelet
from support.ports import free_port
from support.upstream import EchoUpstream

from fluxgate_operator.certificates import Certificates
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings
from fluxgate_operator.webhooks import Webhooks, webhook_configurations
from fluxgate_xds.server import XdsServerSettings
from fluxgate_xds.tokens import TokenAuthority, TokenIdentity

LOG = structlog.get_logger()


class Reviewer:
    """The real one; a token's expiry can be brought nearer, which would take ten minutes."""

    def __init__(self, real: ApiTokenReviewer) -> None:
        self.real = real
        self.life: float | None = None
        self.seen: list[str] = []

    async def review(self, token: str) -> TokenIdentity | None:
        self.seen.append(token)
        found = await self.real.review(token)
        if found is None or self.life is None:
            return found
        return replace(found, expires=time.time() + self.life)


@dataclass
class World:
    """The control plane's parts, and a namespace whose pods are reviewed by them."""

    plane: Plane
    certificates: Certificates
    webhooks: Webhooks
    namespace: str
    configurations: str
    work: list[asyncio.Task[None]]
    reviewer: Reviewer


@pytest.fixture
async def world(
    control_plane: ControlPlane, kube: KubeClient, namespace: str
) -> AsyncIterator[World]:
    settings = ControllerSettings(
        namespace, "replica-0", service=f"ctl-{namespace}", webhook_port=0
    )
    certificates = Certificates(kube, settings, lambda: True, LOG)
    work = [asyncio.create_task(certificates.run())]
    async with asyncio.timeout(60):
        await certificates.ready.wait()
    async with contextlib.AsyncExitStack() as stack:
        plane: Plane
        reviewer = Reviewer(ApiTokenReviewer(kube))
        authority = TokenAuthority(
            reviewer, may_be_node(lambda: plane.store.freeze().gateway_configs)
        )
        xds = XdsServerSettings(
            address="127.0.0.1", port=0, tls=certificates.server_tls(), tokens=authority
        )
        plane = await stack.enter_async_context(running_plane(NoValidator("none"), xds))
        plane.apply(_documents(namespace))
        plane.synced()
        sidecar = SidecarSettings(
            image="fluxgate.example.com/fluxgate:1",
            xds_host="127.0.0.1",
            xds_port=plane.port,
            server_name=certificates.server_name,
            ca_pem=certificates.ca_pem.decode(),
        )
        webhooks = Webhooks(settings, certificates, plane.store.freeze, lambda: sidecar, LOG)
        work.append(asyncio.create_task(webhooks.run()))
        await webhooks.serving.wait()
        name = f"{settings.service}-{namespace}"
        for document in webhook_configurations(name, {"url": f"https://127.0.0.1:{webhooks.port}"}):
            _only_in(document, namespace)
            control_plane.kubectl("create", "-f", "-", stdin=json.dumps(document))
        certificates.poke()
        await _until_called(control_plane, namespace)
        yield World(plane, certificates, webhooks, namespace, name, work, reviewer)
        for kind in ("mutating", "validating"):
            control_plane.kubectl("delete", f"{kind}webhookconfiguration", name)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


def _only_in(document: dict[str, Any], namespace: str) -> None:
    """Other tests run beside this one."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    document["webhooks"][0]["namespaceSelector"] = selector


async def _until_called(control_plane: ControlPlane, namespace: str) -> None:
    """The API server takes a moment to know a new configuration and its caBundle."""
    async with asyncio.timeout(60):
        while True:
            pod = _pod("probe", namespace, gateway="nowhere")
            try:
                await asyncio.to_thread(_create, control_plane, pod, dry_run=True)
            except ClusterError as error:
                if "there is no GatewayConfig" in str(error):
                    return
            await asyncio.sleep(0.05)


def _create(plane: ControlPlane, pod: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
    return plane.request("POST", path + ("?dryRun=All" if dry_run else ""), pod)


def _pod(name: str, namespace: str, *, gateway: str = "side", inject: bool = True, **spec: Any):
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    app = {
        "name": "app",
        "image": "app.example.com/app:1",
        "securityContext": restricted,
        "ports": [{"containerPort": 8000}],
    }
    labels = {"gateway.fluxgate.io/inject": "true"} if inject else {}
    meta = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        "annotations": {"gateway.fluxgate.io/gateway": gateway},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [app], **spec},
    }


def _documents(namespace: str, listener: int = 15080, app: int = 8000) -> str:
    return f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: side, namespace: {namespace}}}
spec: {{mode: Sidecar, listeners: [{{name: http, address: 127.0.0.1, port: {listener}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {{name: local, namespace: {namespace}}}
spec: {{type: Sidecar, targets: [{{host: 127.0.0.1, port: {app}}}]}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: local, namespace: {namespace}}}
spec:
  gateways: [side]
  matches: [{{path: {{value: /}}}}]
  backends: [{{kind: Upstream, name: local}}]
"""


@contextlib.asynccontextmanager
async def sidecar_of(world: World, kubelet: Kubelet, folder: Path) -> AsyncIterator[None]:
    """The injected container's own arguments, run by the real Envoy."""
    await asyncio.to_thread(kubelet.project, "fluxgate-sidecar")
    probe = str(free_port())
    arguments = [each.replace("15902", probe) for each in kubelet.arguments("fluxgate-sidecar")]
    with (folder / "log").open("w") as log:
        envoy = await asyncio.create_subprocess_exec(
            envoy_binary(), *arguments, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        envoy.terminate()
        async with asyncio.timeout(60):
            await envoy.wait()


async def test_an_injected_sidecar_proves_itself_by_token_and_serves_the_local_application(
    world: World, control_plane: ControlPlane, tmp_path: Path
):
    port = free_port()
    with EchoUpstream() as app:
        world.plane.apply(_documents(world.namespace, port, app.port))
        pod = await asyncio.to_thread(_create, control_plane, _pod("orders-1", world.namespace))
        async with sidecar_of(world, Kubelet(control_plane, pod, tmp_path), tmp_path):
            await _answers(port, tmp_path)
            (node,) = world.plane.registry.nodes()
            assert (node.id, node.gateway) == ("orders-1", f"{world.namespace}/side")
            assert node.connected


async def test_a_stream_whose_token_expires_is_taken_up_with_the_next_and_nothing_is_lost(
    world: World, control_plane: ControlPlane, tmp_path: Path
):
    port = free_port()
    with EchoUpstream() as app:
        world.plane.apply(_documents(world.namespace, port, app.port))
        pod = await asyncio.to_thread(_create, control_plane, _pod("orders-2", world.namespace))
        kubelet = Kubelet(control_plane, pod, tmp_path)
        world.reviewer.life = 1.5
        async with sidecar_of(world, kubelet, tmp_path), httpx.AsyncClient(trust_env=False) as ask:
            await _answers(port, tmp_path)
            fresh = await asyncio.to_thread(kubelet.project, "fluxgate-sidecar")
            async with asyncio.timeout(60):
                while world.reviewer.seen[-1] != fresh:
                    assert (await ask.get(f"http://127.0.0.1:{port}/")).status_code == 200
            assert world.reviewer.seen[0] != fresh


async def test_drain_closes_connections_and_waits_for_no_more_than_it_must(
    world: World, control_plane: ControlPlane, tmp_path: Path
):
    port = free_port()
    with EchoUpstream() as app:
        world.plane.apply(_documents(world.namespace, port, app.port))
        pod = await asyncio.to_thread(_create, control_plane, _pod("orders-3", world.namespace))
        kubelet = Kubelet(control_plane, pod, tmp_path)
        async with sidecar_of(world, kubelet, tmp_path), httpx.AsyncClient(trust_env=False) as ask:
            await _answers(port, tmp_path)
            container = kubelet.container("fluxgate-sidecar")
            command = container["lifecycle"]["preStop"]["exec"]["command"]
            folder = str(kubelet.folder("/var/run/fluxgate"))
            hook = [each.replace("/var/run/fluxgate", folder) for each in command[1:]]
            done = await asyncio.to_thread(
                subprocess.run,
                [Path(sys.executable).parent / "fluxgate", *hook, "--at-least", "0"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            answer = await ask.get(f"http://127.0.0.1:{port}/")
            assert answer.headers["connection"] == "close"


async def _answers(port: int, folder: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200:
                    return
            await asyncio.sleep(0.05)
            if "][critical][" in (text := (folder / "log").read_text()) or "][error][" in text:
                raise AssertionError(text[-1500:])


async def test_an_injected_pod_passes_the_restricted_pod_security_standard(
    world: World, control_plane: ControlPlane
):
    control_plane.kubectl(
        "label", "ns", world.namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    pod = await asyncio.to_thread(_create, control_plane, _pod("safe", world.namespace))
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["fluxgate-sidecar"]
    bad = _pod("unsafe", world.namespace, hostPID=True)
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        await asyncio.to_thread(_create, control_plane, bad)


async def test_pods_that_do_not_ask_do_not_depend_on_the_webhook(
    world: World, control_plane: ControlPlane
):
    world.work[1].cancel()
    await asyncio.gather(world.work[1], return_exceptions=True)
    free = _pod("free", world.namespace, inject=False)
    pod = await asyncio.to_thread(_create, control_plane, free)
    assert "initContainers" not in pod["spec"]
    with pytest.raises(ClusterError, match="failed calling webhook"):
        await asyncio.to_thread(_create, control_plane, _pod("asks", world.namespace))


async def test_a_port_of_the_application_that_the_sidecar_needs_is_refused_in_words(
    world: World, control_plane: ControlPlane
):
    pod = _pod("clash", world.namespace)
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 15080}]
    with pytest.raises(ClusterError, match="container app has port 15080, which the sidecar"):
        await asyncio.to_thread(_create, control_plane, pod)


async def test_what_cel_cannot_say_is_refused_with_the_words_of_validate(
    world: World, control_plane: ControlPlane
):
    body = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Upstream",
        "metadata": {"name": "mixed", "namespace": world.namespace},
        "spec": {
            "targets": [{"host": "10.0.0.1", "port": 1}, {"host": "a.example.com", "port": 1}]
        },
    }
    path = f"/apis/gateway.fluxgate.io/v1alpha1/namespaces/{world.namespace}/upstreams"
    with pytest.raises(ClusterError, match="IP addresses and DNS names cannot share a pool"):
        await asyncio.to_thread(control_plane.request, "POST", path, body)


async def test_a_reference_that_leads_nowhere_yet_is_a_warning(
    world: World, control_plane: ControlPlane
):
    body = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"name": "early", "namespace": world.namespace},
        "spec": {
            "gateways": ["side"],
            "matches": [{"path": {"value": "/early"}}],
            "backends": [{"kind": "Upstream", "name": "later"}],
        },
    }
    done = await asyncio.to_thread(
        control_plane.try_kubectl, "create", "-f", "-", stdin=json.dumps(body)
    )
    assert done.returncode == 0
    assert f"Upstream {world.namespace}/later does not exist" in done.stderr
