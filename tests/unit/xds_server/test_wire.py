"""Spliced responses are what protobuf itself would read and write."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import resource

from fluxgate.snapshot import Snapshot
from fluxgate.xds.typeurl import CLUSTER
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.typestream import Response
from fluxgate_xds.wire import DeltaEncoder, SotwEncoder

BIG = resource(CLUSTER, "big", "x" * 70_000)
EMPTY = resource(CLUSTER, "", "")


def response(*, whole: bool = False, nonce: str = "7") -> Response:
    return Response(CLUSTER, "v1", nonce, (BIG, EMPTY), {}, ("gone", "gone-2"), whole)


def test_a_delta_response_parses_to_its_parts() -> None:
    for whole in (False, True):
        parsed = discovery_v3.DeltaDiscoveryResponse.FromString(
            DeltaEncoder().encode(response(whole=whole))
        )
        expected = discovery_v3.DeltaDiscoveryResponse(
            system_version_info="v1",
            type_url=CLUSTER,
            nonce="7",
            removed_resources=["gone", "gone-2"],
        )
        for each in (BIG, EMPTY):
            entry = expected.resources.add(name=each.name, version=each.version)
            entry.resource.type_url, entry.resource.value = CLUSTER, each.payload
        assert parsed == expected


def test_a_sotw_response_parses_to_its_parts() -> None:
    parsed = discovery_v3.DiscoveryResponse.FromString(SotwEncoder().encode(response()))
    expected = discovery_v3.DiscoveryResponse(version_info="v1", type_url=CLUSTER, nonce="7")
    for each in (BIG, EMPTY):
        expected.resources.add(type_url=CLUSTER, value=each.payload)
    assert parsed == expected


def test_equal_responses_are_the_same_bytes_and_others_are_not() -> None:
    encoder = DeltaEncoder()
    many = tuple(resource(CLUSTER, f"c{number}") for number in range(100))
    one = encoder.encode(Response(CLUSTER, "v1", "1", many, {}, (), whole=True))
    same = encoder.encode(Response(CLUSTER, "v1", "1", many, {}, (), whole=True))
    part = encoder.encode(Response(CLUSTER, "v1", "1", many[:50], {}, ()))
    other = encoder.encode(Response(CLUSTER, "v1", "2", many, {}, (), whole=True))
    assert same is one
    for message, nonce, count in ((one, "1", 100), (part, "1", 50), (other, "2", 100)):
        parsed = discovery_v3.DeltaDiscoveryResponse.FromString(message)
        assert (parsed.nonce, len(parsed.resources)) == (nonce, count)


def test_shared_messages_are_bounded_in_bytes() -> None:
    encoder = DeltaEncoder()
    for number in range(5):
        big = resource(CLUSTER, f"c{number}", str(number) * 20_000_000)
        encoder.encode(Response(CLUSTER, "v1", "1", (big,), {}))
    assert sum(map(len, encoder._messages.values())) <= 64 * 1024 * 1024


def test_a_thousand_streams_cost_one_serialisation_of_each_resource() -> None:
    encoder = DeltaEncoder()
    snapshot = Snapshot.of(resource(CLUSTER, f"c{number}") for number in range(50))
    messages = set()
    for _ in range(1000):
        session = DeltaSession()
        session.publish(snapshot, {}, 0.0)
        request = discovery_v3.DeltaDiscoveryRequest(type_url=CLUSTER)
        (answer,) = session.receive(request, 0.0)
        messages.add(encoder.encode(answer))
    assert encoder.built == 50
    assert len(messages) == 1


def test_remembered_headers_are_bounded() -> None:
    encoder = DeltaEncoder(capacity=3)
    for number in range(10):
        each = resource(CLUSTER, f"c{number}")
        encoder.encode(Response(CLUSTER, "v", "1", (each,), {each.name: each}))
    assert encoder.built == 10
    assert len(encoder._headers) == 3
