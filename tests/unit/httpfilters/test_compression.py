"""The compression filter's messages, whose newest fields the proto package does not know."""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from support.gateway import forward, gateway, route

from fluxgate.ir.policies.compression import Compression, CompressionUse
from fluxgate.resources import ObjectRef
from fluxgate.xds.httpfilters.compression import (
    COMPOSITE_TYPE,
    CompressionFilter,
    build_chain,
    build_compressor,
    use_of,
)
from fluxgate.xds.route import build_route

ORIGIN = ObjectRef("GatewayConfig", "default", "main")
WAY = Compression("way", ORIGIN, ("zstd", "gzip"), ("text/html",), 100)


def test_the_first_algorithm_is_chosen_first() -> None:
    chosen = {each: build_compressor(WAY, each).choose_first for each in WAY.algorithms}
    assert chosen == {"zstd": True, "gzip": False}


def test_a_chain_has_a_compressor_for_each_algorithm_under_names_of_its_own() -> None:
    names = [each.name for each in build_chain(WAY).typed_config]
    assert names == ["way/zstd", "way/gzip"]


def test_a_route_names_its_way_and_carries_nothing_else_of_it() -> None:
    (message,) = build_route(
        route("/", forward("up"), policies=(CompressionUse("way"),)), (), (CompressionFilter(),)
    )
    packed = message.typed_per_filter_config["fluxgate.compression"]
    assert packed.value == use_of("way").SerializeToString(deterministic=True)
    assert b"\x2a\x03way" in packed.value
    assert len(packed.value) < 150


def test_every_way_of_the_gateway_stands_in_the_filters_configuration() -> None:
    other = Compression("other", ORIGIN, ("br",), ("text/css",), 100, skip_etag=True)
    (resource,) = CompressionFilter().resources(gateway(shared=(other, WAY)))
    config = extension_v3.TypedExtensionConfig.FromString(resource.payload).typed_config
    assert config.type_url == COMPOSITE_TYPE
    for each in (other, WAY):
        assert each.name.encode() in config.value
        assert build_chain(each).SerializeToString(deterministic=True) in config.value


def test_a_gateway_without_compression_has_an_empty_configuration() -> None:
    (resource,) = CompressionFilter().resources(gateway())
    config = extension_v3.TypedExtensionConfig.FromString(resource.payload).typed_config
    assert config.value == b""
