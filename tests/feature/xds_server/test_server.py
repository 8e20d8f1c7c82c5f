"""The xDS server over real gRPC, as a client sees it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from cryptography import x509
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from envoy.service.status.v3 import csds_pb2 as status_v3
from envoy.service.status.v3 import csds_pb2_grpc
from feature.xds_server.certificates import Authority
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.identity import spiffe_id
from fluxgate_xds.nodes import NodeRegistry
from fluxgate_xds.server import XdsServer, XdsServerError, XdsServerSettings

GATEWAY = "default/main"
LARGE = [("grpc.max_receive_message_length", -1)]


def resource(url: str, name: str, payload: bytes = b"", **options: Any) -> SnapshotResource:
    return SnapshotResource.of(url, name, payload, **options)


CONFIG = Snapshot.of(
    [resource(CLUSTER, "blue", references=[(ENDPOINT, "blue")]), resource(ENDPOINT, "blue")]
)


class Running:
    def __init__(self, settings: XdsServerSettings) -> None:
        self.cache = SnapshotCache()
        self.registry = NodeRegistry()
        self.server = XdsServer(settings, self.cache, self.registry)
        self.port = 0


@pytest.fixture
async def xds() -> AsyncIterator[Running]:
    running = Running(XdsServerSettings(port=0))
    running.port = await running.server.start()
    yield running
    await running.server.stop(1.0)


@pytest.fixture
async def channel(xds: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{xds.port}", options=LARGE) as opened:
        yield opened


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def secured(authority: Authority, tmp_path: Path) -> AsyncIterator[Running]:
    files = authority.server_files(tmp_path)
    readers = ("spiffe://example.com/operator",)
    running = Running(XdsServerSettings("127.0.0.1", 0, files, status_readers=readers))
    running.port = await running.server.start()
    yield running
    await running.server.stop(1.0)


def secure_channel(authority: Authority, port: int, *names: x509.GeneralName) -> grpc.aio.Channel:
    key, certificate = authority.issue(list(names)) if names else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.pem, key, certificate)
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials)


def first(
    url: str, *names: str, node: str = "node-1", gateway: str = GATEWAY
) -> discovery_v3.DeltaDiscoveryRequest:
    request = discovery_v3.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names)
    request.node.id, request.node.cluster = node, gateway
    request.node.user_agent_name = "test"
    return request


def ack(response: Any, error: str = "") -> discovery_v3.DeltaDiscoveryRequest:
    request = discovery_v3.DeltaDiscoveryRequest(
        type_url=response.type_url, response_nonce=response.nonce
    )
    if error:
        request.error_detail.message = error
    return request


def open_delta(channel: grpc.aio.Channel) -> Any:
    return ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()


async def when(registry: NodeRegistry, condition: Any) -> None:
    async with asyncio.timeout(60):
        while True:
            changed = registry.changed()
            if condition():
                changed.close()
                return
            await changed


def state(xds: Running, url: str) -> Any:
    nodes = xds.registry.nodes()
    return nodes[0].types.get(url) if nodes else None


async def test_a_stream_gets_the_snapshot_of_its_gateway_only(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, CONFIG)
    xds.cache.publish("default/other", Snapshot.of([resource(CLUSTER, "other")]))
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    response = await stream.read()
    assert [each.name for each in response.resources] == ["blue"]
    assert response.system_version_info == CONFIG.versions[CLUSTER]
    assert response.resources[0].version == CONFIG.of_type(CLUSTER)["blue"].version
    assert response.resources[0].resource.type_url == CLUSTER


async def test_a_stream_opened_before_the_first_snapshot_gets_it_when_it_comes(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    await when(xds.registry, lambda: state(xds, CLUSTER) is not None)
    xds.cache.publish(GATEWAY, CONFIG)
    response = await stream.read()
    assert [each.name for each in response.resources] == ["blue"]


async def test_the_state_of_the_world_variant_is_served_too(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, CONFIG)
    stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
    stream = stub.StreamAggregatedResources()
    request = discovery_v3.DiscoveryRequest(type_url=CLUSTER)
    request.node.id, request.node.cluster = "node-1", GATEWAY
    await stream.write(request)
    response = await stream.read()
    assert response.version_info == CONFIG.versions[CLUSTER]
    assert [each.type_url for each in response.resources] == [CLUSTER]


async def test_acknowledgements_and_rejections_reach_the_registry(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, CONFIG)
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    await stream.write(ack(await stream.read()))
    await stream.write(first(ENDPOINT, "blue"))
    await stream.write(ack(await stream.read(), error="no such thing"))
    await when(xds.registry, lambda: getattr(state(xds, ENDPOINT), "nack", None))
    assert state(xds, CLUSTER).state is SyncState.SYNCED
    assert state(xds, CLUSTER).acked == CONFIG.versions[CLUSTER]
    assert state(xds, ENDPOINT).state is SyncState.REJECTED
    assert state(xds, ENDPOINT).nack.message == "no such thing"
    assert state(xds, ENDPOINT).nack.version == CONFIG.versions[ENDPOINT]
    assert xds.registry.nodes()[0].snapshot == ""
    assert xds.registry.counters.nacks == 1


async def test_a_node_that_leaves_is_remembered_as_disconnected(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    await when(xds.registry, xds.registry.nodes)
    stream.cancel()
    await when(xds.registry, lambda: not xds.registry.nodes()[0].connected)


async def test_a_reconnect_with_initial_versions_gets_only_what_changed(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, Snapshot.of([resource(CLUSTER, "a"), resource(CLUSTER, "b")]))
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    known = {each.name: each.version for each in (await stream.read()).resources}
    stream.cancel()
    xds.cache.publish(
        GATEWAY, Snapshot.of([resource(CLUSTER, "a"), resource(CLUSTER, "b", b"\x0a\x00")])
    )
    again = open_delta(channel)
    request = first(CLUSTER)
    request.initial_resource_versions.update(known)
    await again.write(request)
    assert [each.name for each in (await again.read()).resources] == ["b"]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (first(CLUSTER, node=""), "node.id"),
        (first(CLUSTER, gateway=""), "node.cluster"),
        (first(""), "type_url"),
    ],
)
async def test_a_malformed_first_request_ends_the_stream(
    xds: Running, channel: grpc.aio.Channel, request_: Any, word: str
) -> None:
    stream = open_delta(channel)
    await stream.write(request_)
    with pytest.raises(grpc.aio.AioRpcError, match=word) as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_node_may_not_change_within_a_stream(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    await stream.write(first(LISTENER, node="node-2"))
    with pytest.raises(grpc.aio.AioRpcError, match="must not change") as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_slow_reader_gets_the_newest_snapshot_and_none_between(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    def generation(number: int) -> Snapshot:
        return Snapshot.of([resource(ROUTE, "table", b"%d" % number * 1_000_000)])

    xds.cache.publish(GATEWAY, generation(0))
    stream = open_delta(channel)
    await stream.write(first(ROUTE, "table"))
    await when(xds.registry, lambda: getattr(state(xds, ROUTE), "sent", ""))
    for number in range(1, 50):
        xds.cache.publish(GATEWAY, generation(number))
        await asyncio.sleep(0)
    await stream.write(ack(await stream.read()))
    newest = await stream.read()
    assert newest.system_version_info == generation(49).versions[ROUTE]
    assert xds.registry.counters.responses == 2


async def test_a_message_of_forty_megabytes_passes(xds: Running, channel: grpc.aio.Channel) -> None:
    table = resource(ROUTE, "table", bytes(40_000_000))
    xds.cache.publish(GATEWAY, Snapshot.of([table]))
    stream = open_delta(channel)
    await stream.write(first(ROUTE, "table"))
    response = await stream.read()
    assert response.resources[0].resource.value == table.payload


async def test_stopping_ends_hanging_streams_so_that_clients_go_elsewhere(tmp_path: Path) -> None:
    running = Running(XdsServerSettings(f"unix:{tmp_path}/xds.sock"))
    await running.server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/xds.sock") as channel:
        stream = open_delta(channel)
        await stream.write(first(CLUSTER))
        await when(running.registry, running.registry.nodes)
        stopping = asyncio.create_task(running.server.stop(600.0))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
        await asyncio.wait_for(stopping, 60)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_it_is_healthy_only_once_there_is_something_to_serve(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    xds.cache.publish(GATEWAY, CONFIG)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    stream = stub.ServerReflectionInfo()
    await stream.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await stream.read()
    stream.cancel()
    assert {each.name for each in answer.list_services_response.service} >= {
        "envoy.service.discovery.v3.AggregatedDiscoveryService",
        "envoy.service.status.v3.ClientStatusDiscoveryService",
        "grpc.health.v1.Health",
    }


async def test_plain_text_is_refused_outside_loopback() -> None:
    with pytest.raises(XdsServerError, match="needs TLS"):
        await Running(XdsServerSettings("0.0.0.0", 0)).server.start()


async def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(XdsServerError, match=f"127.0.0.1:{port}"):
            await Running(XdsServerSettings(port=port)).server.start()


async def test_missing_certificate_files_are_a_clear_error(
    authority: Authority, tmp_path: Path
) -> None:
    files = authority.server_files(tmp_path)
    files.key.unlink()
    with pytest.raises(XdsServerError, match=r"tls\.key"):
        await Running(XdsServerSettings("127.0.0.1", 0, files)).server.start()


@pytest.mark.parametrize(
    "name",
    [
        x509.UniformResourceIdentifier(spiffe_id("example.com", GATEWAY, "node-1")),
        x509.DNSName("node-1.main.default"),
    ],
)
async def test_a_certificate_that_names_the_node_is_admitted(
    secured: Running, authority: Authority, name: x509.GeneralName
) -> None:
    secured.cache.publish(GATEWAY, CONFIG)
    async with secure_channel(authority, secured.port, name) as channel:
        stream = open_delta(channel)
        await stream.write(first(CLUSTER))
        assert [each.name for each in (await stream.read()).resources] == ["blue"]


@pytest.mark.parametrize(
    "name",
    [
        x509.UniformResourceIdentifier(spiffe_id("example.com", GATEWAY, "node-2")),
        x509.UniformResourceIdentifier(spiffe_id("example.com", "default/other", "node-1")),
        x509.DNSName("node-1.other.default"),
        x509.DNSName("node-1"),
    ],
)
async def test_a_certificate_of_another_node_or_gateway_is_refused(
    secured: Running, authority: Authority, name: x509.GeneralName
) -> None:
    secured.cache.publish(GATEWAY, CONFIG)
    async with secure_channel(authority, secured.port, name) as channel:
        stream = open_delta(channel)
        await stream.write(first(CLUSTER))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert secured.registry.counters.streams_refused == 1
    assert secured.registry.nodes() == ()


async def test_a_client_without_a_certificate_cannot_connect(
    secured: Running, authority: Authority
) -> None:
    async with secure_channel(authority, secured.port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_cannot_connect(
    secured: Running, authority: Authority
) -> None:
    key, certificate = Authority().issue([x509.DNSName("node-1.main.default")])
    credentials = grpc.ssl_channel_credentials(authority.pem, key, certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{secured.port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_rotated_certificate_is_used_for_the_next_connection(
    secured: Running, authority: Authority, tmp_path: Path
) -> None:
    def subject_after_handshake() -> str:
        context = ssl.create_default_context(cadata=authority.pem.decode())
        key, certificate = authority.issue([x509.DNSName("node-1.main.default")])
        (tmp_path / "c.pem").write_bytes(key + certificate)
        context.load_cert_chain(tmp_path / "c.pem")
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", secured.port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            return str(dict(pair[0] for pair in connection.getpeercert()["subject"]))  # type: ignore[index]

    before = await asyncio.to_thread(subject_after_handshake)
    authority.server_files(tmp_path, serial=77)
    after = await asyncio.to_thread(subject_after_handshake)
    assert ("leaf-2." in before, "leaf-77." in after) == (True, True)


def csds(channel: grpc.aio.Channel) -> Any:
    return csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)


async def test_csds_tells_versions_states_and_rejections_and_hides_secrets(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    secret = resource(SECRET, "server", b"\x0a\x03abc")
    snapshot = Snapshot.of([resource(CLUSTER, "blue"), secret])
    xds.cache.publish(GATEWAY, snapshot)
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    await stream.write(ack(await stream.read(), error="cluster is bad"))
    await stream.write(first(SECRET, "server"))
    await stream.write(ack(await stream.read()))
    await when(xds.registry, lambda: getattr(state(xds, SECRET), "acked", ""))
    answer = await csds(channel).FetchClientStatus(status_v3.ClientStatusRequest())
    (config,) = answer.config
    entries = {each.type_url: each for each in config.generic_xds_configs}
    assert (config.node.id, config.node.cluster) == ("node-1", GATEWAY)
    assert entries[CLUSTER].config_status == status_v3.ConfigStatus.ERROR
    assert entries[CLUSTER].error_state.details == "cluster is bad"
    assert entries[CLUSTER].xds_config.type_url == CLUSTER
    assert entries[SECRET].config_status == status_v3.ConfigStatus.SYNCED
    assert entries[SECRET].version_info == snapshot.versions[SECRET]
    assert entries[SECRET].name == "server"
    assert not entries[SECRET].HasField("xds_config")


async def test_csds_answers_on_a_stream_and_filters_by_node(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    streams = []
    for node in ("edge-1", "edge-2", "core-1"):
        stream = open_delta(channel)
        streams.append(stream)
        await stream.write(first(CLUSTER, node=node))
    await when(xds.registry, lambda: len(xds.registry.nodes()) == 3)
    call = csds(channel).StreamClientStatus()
    found = []
    for matcher in ({"exact": "core-1"}, {"prefix": "edge-"}):
        request = status_v3.ClientStatusRequest(node_matchers=[{"node_id": matcher}])
        await call.write(request)
        found.append([each.node.id for each in (await call.read()).config])
    call.cancel()
    assert found == [["core-1"], ["edge-1", "edge-2"]]


async def test_csds_shows_a_node_only_itself_and_a_reader_all(
    secured: Running, authority: Authority
) -> None:
    secured.registry.connect(GATEWAY, "node-1", "test", {})
    secured.registry.connect(GATEWAY, "node-2", "test", {})

    async def seen(name: str) -> list[str]:
        identifier = x509.UniformResourceIdentifier(name)
        async with secure_channel(authority, secured.port, identifier) as channel:
            answer = await csds(channel).FetchClientStatus(status_v3.ClientStatusRequest())
        return [each.node.id for each in answer.config]

    assert await seen(spiffe_id("example.com", GATEWAY, "node-1")) == ["node-1"]
    assert await seen("spiffe://example.com/operator") == ["node-1", "node-2"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await seen("spiffe://example.com/somebody")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def table(answer: status_v3.ClientStatusResponse) -> list[str]:
    """What a tool prints: one line a resource, the error's words at its end."""
    return [
        " ".join(
            [
                config.node.id,
                each.type_url.rpartition(".")[2],
                each.name,
                status_v3.ConfigStatus.Name(each.config_status),
                each.error_state.details,
            ]
        ).strip()
        for config in answer.config
        for each in config.generic_xds_configs
    ]


async def test_csds_puts_only_the_refused_resource_in_error(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, Snapshot.of([resource(CLUSTER, "bad"), resource(CLUSTER, "good")]))
    stream = open_delta(channel)
    await stream.write(first(CLUSTER))
    words = "Error adding/updating cluster(s) bad: no such thing"
    await stream.write(ack(await stream.read(), error=words))
    again = await stream.read()
    assert [each.name for each in again.resources] == ["good"]
    await stream.write(ack(again))
    await when(xds.registry, lambda: getattr(state(xds, CLUSTER), "nack", None))
    answer = await csds(channel).FetchClientStatus(status_v3.ClientStatusRequest())
    assert table(answer) == [f"node-1 Cluster bad ERROR {words}", "node-1 Cluster good SYNCED"]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("zone", {"string_match": {"exact": "b"}}, ["node-b"]),
        ("zone", {"string_match": {"prefix": ""}}, ["node-a", "node-b"]),
        ("canary", {"bool_match": True}, ["node-a"]),
        ("weight", {"double_match": {"exact": 2.0}}, ["node-b"]),
        ("weight", {"double_match": {"range": {"start": 1, "end": 2}}}, ["node-a"]),
        ("tags", {"list_match": {"one_of": {"string_match": {"exact": "x"}}}}, ["node-a"]),
        ("tags", {"present_match": True}, ["node-a"]),
        ("nothing", {"present_match": True}, []),
    ],
)
async def test_csds_filters_by_metadata(
    xds: Running, channel: grpc.aio.Channel, path: str, value: Any, found: list[str]
) -> None:
    xds.registry.connect(
        GATEWAY, "node-a", "t", {"zone": "a", "canary": True, "weight": 1.0, "tags": ["x", "y"]}
    )
    xds.registry.connect(GATEWAY, "node-b", "t", {"zone": "b", "weight": 2.0})
    request = status_v3.ClientStatusRequest(
        node_matchers=[{"node_metadatas": [{"path": [{"key": path}], "value": value}]}]
    )
    answer = await csds(channel).FetchClientStatus(request)
    assert [each.node.id for each in answer.config] == found


async def test_connects_rejections_and_disconnects_are_logged_without_secrets() -> None:
    with capture_logs() as lines:
        cache, registry = SnapshotCache(), NodeRegistry()
        log = structlog.get_logger("test")
        server = XdsServer(XdsServerSettings(port=0), cache, registry, log)
        port = await server.start()
        secret = resource(SECRET, "server", b"\x0a\x03abc")
        cache.publish(GATEWAY, Snapshot.of([resource(CLUSTER, "bad"), secret]))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = open_delta(channel)
            for request, error in (
                (first(CLUSTER), "cluster(s) bad: no"),
                (first(SECRET, "server"), "private key PRIVATE is broken"),
            ):
                await stream.write(request)
                await stream.write(ack(await stream.read(), error=error))
            await when(registry, lambda: registry.counters.nacks == 2)
            stream.cancel()
            await when(registry, lambda: not registry.nodes()[0].connected)
        await server.stop(1.0)
    told = [(each["event"], each["log_level"]) for each in lines]
    assert told == [
        ("node connected", "info"),
        ("configuration rejected", "warning"),
        ("configuration rejected", "warning"),
        ("node disconnected", "info"),
    ]
    assert lines[1]["resources"] == ["bad"]
    assert "PRIVATE" not in str(lines)
