"""Small constructors for protobuf messages; the only place that packs an ``Any``."""

from __future__ import annotations

from envoy.config.core.v3 import config_source_pb2 as config_source_v3
from google.protobuf import any_pb2, duration_pb2, wrappers_pb2
from google.protobuf.message import Message


def any_of(message: Message) -> any_pb2.Any:
    """``message`` in an ``Any``, with the same bytes every time (map fields sorted)."""
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def payload_of(message: Message) -> bytes:
    """The deterministic bytes of ``message``."""
    return message.SerializeToString(deterministic=True)


def duration(milliseconds: int) -> duration_pb2.Duration:
    """A ``google.protobuf.Duration`` of so many milliseconds."""
    return duration_pb2.Duration(
        seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000
    )


def uint32(value: int) -> wrappers_pb2.UInt32Value:
    """A ``google.protobuf.UInt32Value``: unlike a bare number it can be absent."""
    return wrappers_pb2.UInt32Value(value=value)


def boolean(value: bool) -> wrappers_pb2.BoolValue:
    """A ``google.protobuf.BoolValue``: unlike a bare boolean it can be absent."""
    return wrappers_pb2.BoolValue(value=value)


def ads() -> config_source_v3.ConfigSource:
    """The source "over the aggregated stream this resource itself came on"."""
    return config_source_v3.ConfigSource(
        ads=config_source_v3.AggregatedConfigSource(), resource_api_version="V3"
    )
