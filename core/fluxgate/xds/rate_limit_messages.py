"""The messages of the rate limit service's configuration, which no package for Python has.

Written down from go-control-plane (ratelimit/config/ratelimit/v3/rls_conf.proto), as far as they
are used. The service reads them as ``CONFIG_TYPE=GRPC_XDS_SOTW``.
"""

from __future__ import annotations

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import Message

PACKAGE = "ratelimit.config.ratelimit.v3"

_STRING, _UINT32 = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_UINT32
_MESSAGE, _ENUM = FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_ENUM
_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED

_UNITS = (
    ("UNKNOWN", 0),
    ("SECOND", 1),
    ("MINUTE", 2),
    ("HOUR", 3),
    ("DAY", 4),
    ("WEEK", 7),
    ("MONTH", 5),
    ("YEAR", 6),
)


def _field(
    message: DescriptorProto, name: str, number: int, kind: int, of: str = "", label: int = _ONE
) -> None:
    made = message.field.add(name=name, number=number, type=kind, label=label)
    if of:
        made.type_name = f".{PACKAGE}.{of}"


def _file() -> bytes:
    file = FileDescriptorProto(name=f"fluxgate/{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    config = file.message_type.add(name="RateLimitConfig")
    _field(config, "name", 1, _STRING)
    _field(config, "domain", 2, _STRING)
    _field(config, "descriptors", 3, _MESSAGE, "RateLimitDescriptor", _MANY)
    descriptor = file.message_type.add(name="RateLimitDescriptor")
    _field(descriptor, "key", 1, _STRING)
    _field(descriptor, "value", 2, _STRING)
    _field(descriptor, "rate_limit", 3, _MESSAGE, "RateLimitPolicy")
    _field(descriptor, "descriptors", 4, _MESSAGE, "RateLimitDescriptor", _MANY)
    policy = file.message_type.add(name="RateLimitPolicy")
    _field(policy, "unit", 1, _ENUM, "RateLimitUnit")
    _field(policy, "requests_per_unit", 2, _UINT32)
    units = file.enum_type.add(name="RateLimitUnit")
    for name, number in _UNITS:
        units.value.add(name=name, number=number)
    return file.SerializeToString()


descriptor_pool.Default().AddSerializedFile(_file())

RateLimitConfig: type[Message] = message_factory.GetMessageClass(
    descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.RateLimitConfig")
)
