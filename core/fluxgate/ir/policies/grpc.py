"""gRPC for clients that do not speak it."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class GrpcWeb(RoutePolicy):
    """Browsers may call: gRPC-Web is translated to gRPC."""


@dataclass(frozen=True, slots=True)
class GrpcJson(RoutePolicy):
    """JSON over HTTP is translated to gRPC by a serialised ``FileDescriptorSet``."""

    descriptors: bytes
    services: tuple[str, ...]
    auto_mapping: bool = False
    ignore_unknown_query: bool = False
    always_print_primitive_fields: bool = False
    enums_as_ints: bool = False
    proto_field_names: bool = False
    max_request_body_bytes: int = 0
    """0: as large as the gateway lets bodies be."""
