"""The configuration of the rate limit service over real gRPC, as that service asks for it.

It sends state-of-the-world requests with its node in each, an id and metadata but no cluster, and
what it had acknowledged before when it comes back (go-control-plane's ``sotw`` client).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from feature.xds_server.certificates import Authority
from feature.xds_server.test_server import Running, secure_channel, when

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, RATE_LIMIT
from fluxgate_xds.identity import spiffe_id
from fluxgate_xds.server import XdsServerSettings

GATEWAY = "default/main"
NODE = "ratelimit-0"


def snapshot(payload: bytes) -> Snapshot:
    """A gateway with a cluster for its Envoys, and something to count."""
    return Snapshot.of(
        [
            SnapshotResource.of(CLUSTER, "blue", b""),
            SnapshotResource.of(RATE_LIMIT, GATEWAY, payload),
        ]
    )


ONE, OTHER = snapshot(b"\x0a\x01a"), snapshot(b"\x0a\x01b")


def asking(gateway: str = GATEWAY, response: Any = None) -> discovery_v3.DiscoveryRequest:
    request = discovery_v3.DiscoveryRequest(type_url=RATE_LIMIT)
    request.node.id = NODE
    if gateway:
        request.node.metadata["gateway"] = gateway
    if response is not None:
        request.version_info, request.response_nonce = response.version_info, response.nonce
    return request


def opened(channel: grpc.aio.Channel) -> Any:
    return ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()


@pytest.fixture
async def xds() -> AsyncIterator[Running]:
    running = Running(XdsServerSettings(port=0))
    running.port = await running.server.start()
    yield running
    await running.server.stop(1.0)


@pytest.fixture
async def channel(xds: Running) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{xds.port}") as made:
        yield made


async def test_it_gets_what_its_gateway_counts_and_nothing_else(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, ONE)
    stream = opened(channel)
    await stream.write(asking())
    response = await stream.read()
    assert [(each.type_url, each.value) for each in response.resources] == [
        (RATE_LIMIT, ONE.of_type(RATE_LIMIT)[GATEWAY].payload)
    ]
    await stream.write(asking(response=response))
    await when(xds.registry, lambda: xds.registry.nodes(GATEWAY)[0].snapshot == ONE.version)


async def test_it_gets_a_change_and_no_answer_to_a_snapshot_without_one(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, ONE)
    stream = opened(channel)
    await stream.write(asking())
    await stream.write(asking(response=await stream.read()))
    more = [*ONE.of_type(RATE_LIMIT).values(), SnapshotResource.of(CLUSTER, "green", b"")]
    same = Snapshot.of(more)
    xds.cache.publish(GATEWAY, same)
    await when(xds.registry, lambda: xds.registry.nodes(GATEWAY)[0].snapshot == same.version)
    xds.cache.publish(GATEWAY, OTHER)
    response = await stream.read()
    assert response.version_info == OTHER.versions[RATE_LIMIT]


async def test_after_a_reconnect_it_gets_what_changed_meanwhile(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, ONE)
    stream = opened(channel)
    await stream.write(asking())
    known = await stream.read()
    stream.cancel()
    xds.cache.publish(GATEWAY, OTHER)
    again = opened(channel)
    await again.write(asking(response=known))
    assert (await again.read()).version_info == OTHER.versions[RATE_LIMIT]


async def test_a_gateway_without_limits_of_that_kind_gives_it_an_empty_answer(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, Snapshot.of([SnapshotResource.of(CLUSTER, "blue", b"")]))
    stream = opened(channel)
    await stream.write(asking())
    assert len((await stream.read()).resources) == 0


async def test_it_has_to_say_its_gateway(channel: grpc.aio.Channel) -> None:
    stream = opened(channel)
    await stream.write(asking(""))
    with pytest.raises(grpc.aio.AioRpcError, match=r"node\.cluster") as caught:
        await stream.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_it_may_not_change_its_gateway_within_a_stream(
    xds: Running, channel: grpc.aio.Channel
) -> None:
    xds.cache.publish(GATEWAY, ONE)
    stream = opened(channel)
    await stream.write(asking())
    await stream.write(asking("default/other", await stream.read()))
    with pytest.raises(grpc.aio.AioRpcError, match="must not change"):
        await stream.read()


async def test_a_certificate_holds_for_the_gateway_in_the_metadata(tmp_path: Path) -> None:
    authority = Authority()
    running = Running(XdsServerSettings("127.0.0.1", 0, authority.server_files(tmp_path)))
    running.port = await running.server.start()
    try:
        running.cache.publish(GATEWAY, ONE)
        running.cache.publish("default/other", OTHER)
        name = x509.UniformResourceIdentifier(spiffe_id("example.com", GATEWAY, NODE))
        async with secure_channel(authority, running.port, name) as channel:
            stream = opened(channel)
            await stream.write(asking())
            assert (await stream.read()).version_info == ONE.versions[RATE_LIMIT]
            stream = opened(channel)
            await stream.write(asking("default/other"))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    finally:
        await running.server.stop(1.0)
