"""Compressed answers: compressors in chains by name, of which each route names one.

What is compressed is no setting of a route in Envoy's compressor. So the chains, one for every
way to compress that some route asks for, stand in one composite filter that arrives by ECDS, and a
route only says a name: thousands of routes share the few compressors, and listeners never change. A slot
(:mod:`fluxgate.xds.httpfilters.slot`) would make three compressors for every route.

Protos: envoy.extensions.filters.http.composite.v3.{Composite,CompositePerRoute,ExecuteFilterAction},
envoy.extensions.filters.http.compressor.v3.Compressor.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.compression.brotli.compressor.v3 import brotli_pb2 as brotli_v3
from envoy.extensions.compression.gzip.compressor.v3 import gzip_pb2 as gzip_v3
from envoy.extensions.compression.zstd.compressor.v3 import zstd_pb2 as zstd_v3
from envoy.extensions.filters.http.composite.v3 import composite_pb2 as composite_v3
from envoy.extensions.filters.http.compressor.v3 import compressor_pb2 as compressor_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from xds.type.matcher.v3 import matcher_pb2 as matcher_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.compression import Compression, CompressionUse
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.newer_messages import CompositePerRoute
from fluxgate.xds.proto import any_of, payload_of, uint32
from fluxgate.xds.wire import any_bytes, field_bytes, field_string

_PACKAGE = typeurl.PREFIX + "envoy.extensions.filters.http.composite.v3."
COMPOSITE_TYPE = _PACKAGE + "Composite"
# fields of Envoy 1.40 that the proto package does not know yet
_NAMED_FILTER_CHAINS, _FILTER_CHAIN_NAME = 1, 5
_WEAKEN_ETAG = b"\x30\x01"
"""``weaken_etag_on_compress: true``, field 6 of ResponseDirectionConfig."""
_PARTIAL_CONTENT = 206

_LIBRARIES: dict[str, type[Message]] = {
    "br": brotli_v3.Brotli,
    "gzip": gzip_v3.Gzip,
    "zstd": zstd_v3.Zstd,
}


def build_compressor(compression: Compression, algorithm: str) -> compressor_v3.Compressor:
    """One compressor; the first wins where a client weighs several equally. A part of an answer (206) stays as it is: its range is one of the whole."""
    message = compressor_v3.Compressor(choose_first=algorithm == compression.algorithms[0])
    message.compressor_library.name = algorithm
    message.compressor_library.typed_config.CopyFrom(any_of(_LIBRARIES[algorithm]()))
    response = message.response_direction_config
    response.common_config.min_content_length.CopyFrom(uint32(compression.min_bytes))
    response.common_config.content_type.extend(compression.content_types)
    response.uncompressible_response_codes.append(_PARTIAL_CONTENT)
    response.disable_on_etag_header = compression.skip_etag
    if not compression.skip_etag:
        response.MergeFromString(_WEAKEN_ETAG)
    return message


def build_chain(compression: Compression) -> composite_v3.FilterChainConfiguration:
    """The compressors of one way to compress."""
    return composite_v3.FilterChainConfiguration(
        typed_config=[
            extension_v3.TypedExtensionConfig(
                name=f"{compression.name}/{algorithm}",
                typed_config=any_of(build_compressor(compression, algorithm)),
            )
            for algorithm in compression.algorithms
        ]
    )


def use_of(name: str) -> Message:
    """``CompositePerRoute`` that always runs the chain of that name."""
    action = any_bytes(_PACKAGE + "ExecuteFilterAction", field_string(_FILTER_CHAIN_NAME, name))
    matcher = matcher_v3.Matcher()
    matcher.on_no_match.action.name = "composite-action"
    matcher.on_no_match.action.typed_config.ParseFromString(action)
    return CompositePerRoute(matcher=matcher)


class CompressionFilter:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.COMPRESSION_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """In every chain, off; the ways to compress come by ECDS."""
        del gateway
        return discovered_filter(self.name, COMPOSITE_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Name the way to compress, and so switch the filter on."""
        use = route.policy(CompressionUse)
        if use is not None:
            message.typed_per_filter_config[self.name].CopyFrom(any_of(use_of(use.name)))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The ways to compress, for ECDS."""
        ways = gateway.shared_of(Compression)
        chains = b"".join(
            field_bytes(
                _NAMED_FILTER_CHAINS,
                field_string(1, each.name) + field_bytes(2, payload_of(build_chain(each))),
            )
            for each in ways
        )
        composite = AnyMessage(type_url=COMPOSITE_TYPE, value=chains)
        extension = extension_v3.TypedExtensionConfig(name=self.name, typed_config=composite)
        origins = sorted({each.origin for each in ways} | {gateway.origin}, key=str)
        payload = payload_of(extension)
        return (SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=origins),)
