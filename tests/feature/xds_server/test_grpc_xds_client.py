"""A second, independent client: gRPC's own xDS resolver finds a server through ours."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_v3
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - for the JSON parser
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from feature.xds_server import grpc_xds_client
from google.protobuf import json_format
from google.protobuf.message import Message

from fluxgate.api.parse import parse_object
from fluxgate.ports import SyncState
from fluxgate.resources import ResourceStore
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.translator import translate
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerSettings

GATEWAY = "default/main"
TARGET = "echo.example.com:50051"
ADS = {"ads": {}, "resource_api_version": "V3"}


class EchoServer:
    """A gRPC server that answers with its name and what it was told."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(self._say)
        handler = grpc.method_handlers_generic_handler("echo.Echo", {"Say": method})
        self._server.add_generic_rpc_handlers((handler,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(0.5)

    async def _say(self, request: bytes, _: object) -> bytes:
        return self._name.encode() + b" heard " + request


def resource(
    url: str,
    kind: type[Message],
    name: str,
    body: dict[str, Any],
    *refs: tuple[str, str],
    **kw: Any,
) -> SnapshotResource:
    payload = json_format.ParseDict(body, kind()).SerializeToString(deterministic=True)
    return SnapshotResource.of(url, name, payload, references=refs, **kw)


def snapshot(port: int) -> Snapshot:
    extensions = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{extensions}.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": "echo", "config_source": ADS},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{extensions}.http.router.v3.Router"}}
        ],
    }
    listener = {"name": TARGET, "api_listener": {"api_listener": manager}}
    host = {
        "name": "echo",
        "domains": [TARGET],
        "routes": [{"match": {"prefix": ""}, "route": {"cluster": "echo"}}],
    }
    cluster = {
        "name": "echo",
        "type": "EDS",
        "eds_cluster_config": {"eds_config": ADS},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    locality = {
        "locality": {"zone": "a"},
        "load_balancing_weight": 1,
        "lb_endpoints": [{"endpoint": {"address": address}}],
    }
    return Snapshot.of(
        [
            resource(
                typeurl.LISTENER,
                listener_v3.Listener,
                TARGET,
                listener,
                (typeurl.ROUTE, "echo"),
                on_demand=True,
            ),
            resource(
                typeurl.ROUTE,
                route_v3.RouteConfiguration,
                "echo",
                {"name": "echo", "virtual_hosts": [host]},
                (typeurl.CLUSTER, "echo"),
            ),
            resource(
                typeurl.CLUSTER, cluster_v3.Cluster, "echo", cluster, (typeurl.ENDPOINT, "echo")
            ),
            resource(
                typeurl.ENDPOINT,
                endpoint_v3.ClusterLoadAssignment,
                "echo",
                {"cluster_name": "echo", "endpoints": [locality]},
            ),
        ]
    )


class Client:
    """The client process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, word: str, method: str = "/echo.Echo/Say") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{method} {word}\n".encode())
        answer = await asyncio.wait_for(self._process.stdout.readline(), 60)
        return answer.decode().strip()


@pytest.fixture
async def xds() -> AsyncIterator[tuple[SnapshotCache, NodeRegistry, int]]:
    cache, registry = SnapshotCache(), NodeRegistry()
    server = XdsServer(XdsServerSettings(port=0), cache, registry)
    port = await server.start()
    yield cache, registry, port
    await server.stop(1.0)


@pytest.fixture
async def connect(
    xds: tuple[SnapshotCache, NodeRegistry, int], tmp_path: Path
) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    bootstrap = {
        "xds_servers": [
            {
                "server_uri": f"127.0.0.1:{xds[2]}",
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }
        ],
        "node": {"id": "client-1", "cluster": GATEWAY},
    }
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(bootstrap))
    started: list[asyncio.subprocess.Process] = []

    async def connect(target: str) -> Client:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            grpc_xds_client.__file__,
            target,
            env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return Client(process)

    yield connect
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_grpc_resolves_a_service_through_our_server_and_follows_its_endpoints(
    xds: tuple[SnapshotCache, NodeRegistry, int], connect: Callable[[str], Awaitable[Client]]
) -> None:
    cache, registry, _ = xds
    client = await connect(TARGET)
    async with EchoServer("first") as first, EchoServer("second") as second:
        cache.publish(GATEWAY, snapshot(first.port))
        assert await client.say("hello") == "first heard hello"
        moved = snapshot(second.port)
        cache.publish(GATEWAY, moved)
        async with asyncio.timeout(60):
            while registry.nodes()[0].snapshot != moved.version:
                await registry.changed()
        async with asyncio.timeout(60):  # the client moves when its new connection is up
            while (answer := await client.say("again")) != "second heard again":
                assert answer == "first heard again"
        (node,) = registry.nodes()
    assert (node.id, node.gateway) == ("client-1", GATEWAY)
    assert {each.state for each in node.types.values()} == {SyncState.SYNCED}


OWN = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {{name: main, namespace: default}}
spec:
  listeners: [{{name: grpc, port: 50051}}]
  proxyless: {proxyless}
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Upstream
metadata: {{name: echo, namespace: default}}
spec:
  protocol: HTTP2
  targets: [{{host: 127.0.0.1, port: {port}}}]
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: open, namespace: default}}
spec:
  hosts: [echo.example.com]
  matches: [{{path: {{value: /}}}}]
  backends: [{{kind: Upstream, name: echo}}]
---
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {{name: closed, namespace: default}}
spec:
  hosts: [echo.example.com]
  matches: [{{path: {{value: /echo.Echo/Secret}}}}]
  backends: [{{kind: Upstream, name: echo}}]
  auth: {{scopes: ["echo:read"]}}
"""


def own_snapshot(port: int, *, proxyless: bool = True) -> Snapshot:
    """What the real pipeline makes of YAML."""
    store = ResourceStore()
    for document in yaml.safe_load_all(OWN.format(port=port, proxyless=str(proxyless).lower())):
        store.upsert(parse_object(document))
    (gateway,) = translate(store.freeze()).gateways.values()
    return build_snapshot(gateway)


@pytest.mark.parametrize("target", ["echo.example.com", "echo.example.com:50051"])
async def test_a_host_of_our_own_routes_is_served_without_a_proxy_and_follows_its_endpoints(
    xds: tuple[SnapshotCache, NodeRegistry, int],
    connect: Callable[[str], Awaitable[Client]],
    target: str,
) -> None:
    cache, registry, _ = xds
    async with EchoServer("first") as first, EchoServer("second") as second:
        cache.publish(GATEWAY, own_snapshot(first.port))
        client = await connect(target)
        assert await client.say("hello") == "first heard hello"
        cache.publish(GATEWAY, own_snapshot(second.port))
        async with asyncio.timeout(60):
            while (answer := await client.say("again")) != "second heard again":
                assert answer == "first heard again"
        async with asyncio.timeout(60):  # it uses endpoints and acknowledges them at its leisure
            while {each.state for each in registry.nodes()[0].types.values()} != {SyncState.SYNCED}:
                await registry.changed()


async def test_a_route_with_authentication_stays_closed_without_a_proxy(
    xds: tuple[SnapshotCache, NodeRegistry, int], connect: Callable[[str], Awaitable[Client]]
) -> None:
    cache, _, _ = xds
    async with EchoServer("first") as first:
        cache.publish(GATEWAY, own_snapshot(first.port))
        client = await connect("echo.example.com")
        assert await client.say("hello") == "first heard hello"
        assert await client.say("hello", "/echo.Echo/Secret") == "UNAVAILABLE"


def test_a_gateway_that_does_not_ask_for_it_has_no_resources_for_it() -> None:
    assert not [
        each.name
        for named in own_snapshot(50051, proxyless=False).resources.values()
        for each in named.values()
        if each.on_demand
    ]
