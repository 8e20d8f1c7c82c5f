"""The chart's rate limit service gets its configuration by the token of its pod.

Real: the API server with its tokens and reviews, our xDS server, the Envoy that relays, the
service, Redis. The pod is the chart's; a kubelet's part is played by :mod:`support.kubelet`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.cluster import ControlPlane
from support.cluster_processes import Child, ReservedPort
from support.control_plane import ControlPlane as Plane
from support.control_plane import control_plane as running_plane
from support.envoy import envoy_binary
from support.helm import offline
from support.kubelet import Kubelet
from support.limiter import RateLimitService, Redis

from fluxgate.ports import NodeState, SyncState
from fluxgate.resources import ObjectRef
from fluxgate.status import ConditionType
from fluxgate.xds import typeurl
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.kube.client import KubeClient
from fluxgate_xds.credentials import TLSFiles
from fluxgate_xds.server import XdsServerSettings
from fluxgate_xds.tokens import TokenAuthority, TokenIdentity

pytestmark = pytest.mark.envoy

NODE = "fluxgate-ratelimit-0"


class Reviewer:
    """The real one; a test can bring the expiry of tokens nearer, which would take ten minutes."""

    def __init__(self, real: ApiTokenReviewer) -> None:
        self._real = real
        self.life: float | None = None

    async def review(self, token: str) -> TokenIdentity | None:
        found = await self._real.review(token)
        if found is None or self.life is None:
            return found
        return replace(found, expires=time.time() + self.life)


class World:
    """The control plane, and the pod of the rate limit service on this machine."""

    def __init__(self, plane: Plane, reviewer: Reviewer, pod: Kubelet, namespace: str) -> None:
        self.plane = plane
        self.reviewer = reviewer
        self.pod = pod
        self.gateway = f"{namespace}/fluxgate"
        self._namespace = namespace

    def say(self, requests: int) -> None:
        """A gateway whose one route Redis is to count."""
        limit = f"{{requests: {requests}, window: 8760h, by: Route, policy: Redis}}"
        self.plane.apply(f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: fluxgate, namespace: {self._namespace}}}
spec:
  listeners: [{{name: http, port: 8080}}]
  rateLimitService: {{url: "http://127.0.0.1:8081"}}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: counted, namespace: {self._namespace}}}
spec:
  backends: [{{url: "http://127.0.0.1:9"}}]
  plugins: [{{type: rate-limit, config: {limit}}}]
""")

    def node(self) -> NodeState | None:
        """The service, as the control plane sees it."""
        nodes = self.plane.registry.nodes(self.gateway)
        return nodes[0] if nodes else None

    def programmed(self) -> bool:
        """Whether the route is served by every node, of which the service is the only one."""
        ref = ObjectRef("Route", self._namespace, "counted")
        status = self.plane.book.statuses({}).get(ref)
        found = status.conditions if status is not None else ()
        return any(each.type is ConditionType.PROGRAMMED and each.status for each in found)

    def holds(self) -> bool:
        """Whether the service has acknowledged what is published now."""
        node, snapshot = self.node(), self.plane.cache.snapshot(self.gateway)
        if node is None or snapshot is None or not node.connected:
            return False
        state = node.types.get(typeurl.RATE_LIMIT)
        version = snapshot.versions.get(typeurl.RATE_LIMIT)
        return state is not None and state.state is SyncState.SYNCED and state.acked == version


@pytest.fixture
async def world(
    kube: KubeClient, control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> AsyncIterator[World]:
    authority = Authority()
    pair = authority.issue(f"fluxgate-controller.{namespace}.svc", "127.0.0.1")
    for name, content in (("crt", pair.certificate), ("key", pair.key), ("ca", authority.pem)):
        (tmp_path / name).write_bytes(content)
    reviewer = Reviewer(ApiTokenReviewer(kube))
    plane: Plane
    tokens = TokenAuthority(reviewer, may_be_node(lambda: plane.store.freeze().gateway_configs))
    settings = XdsServerSettings(
        port=0, tls=TLSFiles(tmp_path / "crt", tmp_path / "key", tmp_path / "ca"), tokens=tokens
    )
    made = await asyncio.to_thread(chart_pod, control_plane, namespace, authority, tmp_path)
    async with running_plane(NoValidator("none"), settings) as plane:
        plane.synced()
        yield World(plane, reviewer, Kubelet(control_plane, made, tmp_path), namespace)


def chart_pod(
    plane: ControlPlane, namespace: str, authority: Authority, folder: Path
) -> dict[str, Any]:
    """The pod, with all it refers to, in the API server."""
    helm = offline(plane.binaries["helm"], folder)
    values = {"rateLimit": {"enabled": True}}
    made = {
        (each["kind"], each["metadata"]["name"]): each
        for each in helm.template(values, namespace=namespace)
    }
    own = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "fluxgate-ca", "namespace": namespace},
        "data": {"ca.crt": authority.pem.decode()},
    }
    identity = made["ConfigMap", "fluxgate-ratelimit-identity"]
    account = made["ServiceAccount", "fluxgate-ratelimit"]
    for each in (own, identity, account):
        path = f"/api/v1/namespaces/{namespace}/{each['kind'].lower()}s"
        plane.request("POST", path, each)
    template = made["Deployment", "fluxgate-ratelimit"]["spec"]["template"]
    for each in (*template["spec"]["initContainers"], *template["spec"]["containers"]):
        # the folder of this test is in /tmp, which Kubelet would take for the container's
        each["volumeMounts"] = [m for m in each["volumeMounts"] if m["mountPath"] != "/tmp"]
    metadata = {**template["metadata"], "name": NODE, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    return plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)


def start_relay(world: World, folder: Path, port: int) -> Child:
    """What the init container and the relay do, on the addresses of this machine."""
    replaced = {
        "--xds-address": f"127.0.0.1:{world.plane.port}",
        "--relay-address": f"127.0.0.1:{port}",
    }
    world.pod.project("relay")
    arguments = []
    for each in world.pod.arguments("bootstrap"):
        option, _, value = each.partition("=")
        if option == "--token-folder":
            value = str(world.pod.folder(value))
        arguments.append(f"{option}={replaced.get(option, value)}" if value else each)
    command = [str(Path(sys.executable).parent / "fluxgate"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Child([envoy_binary(), *world.pod.arguments("relay")], folder / "relay.log")


def settings_of(pod: Kubelet) -> dict[str, str]:
    """The environment that the chart gives the service."""
    values = {"$(POD_NAME)": NODE}
    listed = pod.container("ratelimit")["env"]
    found = {each["name"]: each["value"] for each in listed if "value" in each}
    return {name: values.get(value, value) for name, value in found.items()}


async def test_the_service_follows_its_gateway_past_the_end_of_its_token(
    world: World, tmp_path: Path
):
    port, redis = ReservedPort(), Redis(tmp_path)
    redis.start()
    service = RateLimitService(tmp_path, redis, port.number, world.gateway, settings_of(world.pod))
    relay = await asyncio.to_thread(start_relay, world, tmp_path, port.number)
    try:
        world.reviewer.life = 2
        world.say(1)
        await asyncio.to_thread(service.start)
        await world.plane.until(world.holds)
        first = world.node()
        assert first is not None
        assert (first.id, first.gateway) == (NODE, world.gateway)
        await world.plane.until(world.programmed)

        world.say(2)
        await world.plane.until(world.holds)

        await asyncio.to_thread(world.pod.project, "relay")
        await world.plane.until(lambda: _again(world, first.connected_at))
        world.say(3)
        await world.plane.until(world.holds)
    finally:
        service.close()
        relay.stop()
        redis.stop()
        port.close()


def _again(world: World, before: float) -> bool:
    """Whether the stream is another than the one that began ``before``."""
    node = world.node()
    return node is not None and node.connected and node.connected_at > before
