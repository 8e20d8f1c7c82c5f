"""Spliced bytes are what protobuf itself would write."""

from __future__ import annotations

import pytest
from envoy.config.route.v3 import route_components_pb2 as route_v3
from google.protobuf import any_pb2

from fluxgate.xds.wire import any_bytes, field_bytes, field_number, field_string, varint


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152])
def test_a_field_of_any_length_reads_back(length: int) -> None:
    payload = field_string(field_number(route_v3.Route, "name"), "x" * length)
    assert payload == route_v3.Route(name="x" * length).SerializeToString()


def test_a_message_becomes_a_repeated_field_of_another() -> None:
    routes = [route_v3.Route(name="a"), route_v3.Route(name="ü" * 100), route_v3.Route()]
    number = field_number(route_v3.RouteList, "routes")
    spliced = b"".join(field_bytes(number, each.SerializeToString()) for each in routes)
    assert spliced == route_v3.RouteList(routes=routes).SerializeToString()


def test_an_any_is_packed_as_protobuf_packs_it() -> None:
    route = route_v3.Route(name="a")
    packed = any_pb2.Any()
    packed.Pack(route)
    assert any_bytes(packed.type_url, route.SerializeToString()) == packed.SerializeToString()


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        varint(-1)
