"""Nodes prove who they are by real ServiceAccount tokens, reviewed by a real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from support.certificates import Authority
from support.cluster import ControlPlane
from support.control_plane import ControlPlane as Plane
from support.control_plane import control_plane as running_plane
from support.kubelet import Kubelet

from fluxgate.resources import ObjectRef
from fluxgate.xds import typeurl
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.kube.client import KubeClient
from fluxgate_xds.credentials import TLSFiles
from fluxgate_xds.server import XdsServerSettings
from fluxgate_xds.service import ADS
from fluxgate_xds.tokens import TokenAuthority, TokenIdentity

AUDIENCE = "fluxgate-xds"


class Reviewer:
    """The real one; tests can bring a token's expiry nearer, which would take ten minutes."""

    def __init__(self, real: ApiTokenReviewer) -> None:
        self.real = real
        self.life: float | None = None

    async def review(self, token: str) -> TokenIdentity | None:
        found = await self.real.review(token)
        if found is None or self.life is None:
            return found
        return replace(found, expires=time.time() + self.life)


class World:
    """An xDS server that reviews tokens."""

    def __init__(self, plane: Plane, reviewer: Reviewer, ca: bytes) -> None:
        self.plane = plane
        self.reviewer = reviewer
        self._ca = ca

    def configure(self, namespace: str, **spec: Any) -> None:
        """A GatewayConfig ``edge`` in a namespace."""
        text = f"""
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: edge, namespace: {namespace}}}
spec: {{listeners: [{{name: http, port: 8080}}], allowedServiceAccounts: {spec.get("accounts", [])}}}
"""
        self.plane.apply(text)

    async def ask(self, gateway: str, node: str, token: str, *, after: float = 0) -> str:
        """Open a stream; "served", or how it was refused. ``after``: until it ends, at most so long."""
        credentials = grpc.ssl_channel_credentials(self._ca)
        options = [("grpc.ssl_target_name_override", "xds.example.com")]
        target = f"127.0.0.1:{self.plane.port}"
        metadata = [("authorization", f"Bearer {token}")] if token else []
        request = discovery_v3.DeltaDiscoveryRequest(type_url=typeurl.CLUSTER)
        request.node.id, request.node.cluster = node, gateway
        async with grpc.aio.secure_channel(target, credentials, options) as channel:
            call = channel.stream_stream(
                f"/{ADS}/DeltaAggregatedResources",
                request_serializer=discovery_v3.DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=discovery_v3.DeltaDiscoveryResponse.FromString,
            )(metadata=metadata, timeout=60)
            await call.write(request)
            try:
                answer = await call.read()
                if after:
                    answer = await call.read()
                return "served" if isinstance(answer, discovery_v3.DeltaDiscoveryResponse) else ""
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name}: {error.details()}"


@pytest.fixture
async def world(kube: KubeClient, tmp_path: Path) -> AsyncIterator[World]:
    authority = Authority()
    pair = authority.issue("xds.example.com", "127.0.0.1")
    for name, content in (("crt", pair.certificate), ("key", pair.key), ("ca", authority.pem)):
        (tmp_path / name).write_bytes(content)
    reviewer = Reviewer(ApiTokenReviewer(kube))
    plane: Plane
    tokens = TokenAuthority(reviewer, may_be_node(lambda: plane.store.freeze().gateway_configs))
    settings = XdsServerSettings(
        port=0, tls=TLSFiles(tmp_path / "crt", tmp_path / "key", tmp_path / "ca"), tokens=tokens
    )
    async with running_plane(NoValidator("none"), settings) as plane:
        plane.synced()
        yield World(plane, reviewer, authority.pem)


@pytest.fixture
def pod(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Kubelet:
    """Pod ``envoy-1``, of the ServiceAccount ``default``."""
    spec = {"containers": [{"name": "envoy", "image": "envoy.example.com/envoy:1"}]}
    body = {"metadata": {"name": "envoy-1", "namespace": namespace}, "spec": spec}
    made = control_plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", body)
    return Kubelet(control_plane, made, tmp_path)


async def test_a_pod_is_served_its_own_gateway(world: World, pod: Kubelet, namespace: str):
    world.configure(namespace)
    assert await world.ask(f"{namespace}/edge", "envoy-1", pod.token(AUDIENCE)) == "served"


async def test_a_pod_is_no_other_pod(world: World, pod: Kubelet, namespace: str):
    world.configure(namespace)
    said = await world.ask(f"{namespace}/edge", "envoy-2", pod.token(AUDIENCE))
    assert said.startswith("PERMISSION_DENIED: the token of ServiceAccount")
    assert "is bound to pod 'envoy-1', not to node 'envoy-2'" in said


async def test_a_pod_of_another_namespace_is_refused_until_the_gateway_lists_its_account(
    world: World, pod: Kubelet, namespace: str
):
    world.configure("elsewhere")
    said = await world.ask("elsewhere/edge", "envoy-1", pod.token(AUDIENCE))
    assert said.startswith(f"PERMISSION_DENIED: ServiceAccount {namespace}/default may not be")
    assert "spec.allowedServiceAccounts" in said
    world.configure("elsewhere", accounts=[{"namespace": namespace, "name": "other"}])
    said = await world.ask("elsewhere/edge", "envoy-1", pod.token(AUDIENCE))
    assert said.startswith("PERMISSION_DENIED")
    world.configure("elsewhere", accounts=[{"namespace": namespace, "name": "default"}])
    assert await world.ask("elsewhere/edge", "envoy-1", pod.token(AUDIENCE)) == "served"


async def test_a_gateway_that_is_not_there_has_no_nodes(world: World, pod: Kubelet, namespace: str):
    said = await world.ask(f"{namespace}/edge", "envoy-1", pod.token(AUDIENCE))
    assert said.startswith("PERMISSION_DENIED")


async def test_without_a_token_nobody_is_served(world: World, namespace: str):
    world.configure(namespace)
    said = await world.ask(f"{namespace}/edge", "envoy-1", "")
    assert said.startswith("UNAUTHENTICATED: neither a client certificate nor one")


async def test_a_token_for_somebody_else_or_made_up_is_refused(
    world: World, pod: Kubelet, namespace: str
):
    world.configure(namespace)
    for token in (pod.token("https://127.0.0.1/"), "made.up.token"):
        said = await world.ask(f"{namespace}/edge", "envoy-1", token)
        assert said.startswith("UNAUTHENTICATED: the ServiceAccount token is expired, revoked")


async def test_a_token_that_is_bound_to_no_pod_is_no_node(
    world: World, control_plane: ControlPlane, namespace: str
):
    world.configure(namespace)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    spec = {"spec": {"audiences": [AUDIENCE]}}
    token = control_plane.request("POST", path, spec)["status"]["token"]
    said = await world.ask(f"{namespace}/edge", "envoy-1", token)
    assert "is bound to no pod" in said


async def test_a_stream_ends_with_its_token(world: World, pod: Kubelet, namespace: str):
    world.configure(namespace)
    world.reviewer.life = 0.3
    said = await world.ask(f"{namespace}/edge", "envoy-1", pod.token(AUDIENCE), after=10)
    assert said == "UNAUTHENTICATED: the token has expired; connect with the present one"


async def test_many_streams_of_a_pod_cost_one_review(
    world: World, pod: Kubelet, control_plane: ControlPlane, namespace: str
):
    world.configure(namespace)
    token = pod.token(AUDIENCE)
    asked = []
    real = world.reviewer.real._client.create

    async def create(*arguments: Any) -> Any:
        asked.append(arguments[0].kind)
        return await real(*arguments)

    world.reviewer.real._client.create = create  # type: ignore[method-assign]
    said = await asyncio.gather(
        *(world.ask(f"{namespace}/edge", "envoy-1", token) for _ in range(20))
    )
    assert set(said) == {"served"}
    assert asked == ["TokenReview"]
    assert world.plane.store.get(ObjectRef("GatewayConfig", namespace, "edge")) is not None
