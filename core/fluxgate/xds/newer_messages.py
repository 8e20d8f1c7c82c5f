"""Envoy messages that Envoy 1.40 knows and ``xds-protos`` does not have yet.

Written down here from Envoy's own descriptors (they are inside its binary), field by field as
far as they are used; unknown fields of the wire format are kept by protobuf. A test compares them
with what ``xds-protos`` ships, so an upgrade that brings one says that it can leave here.

Protos: envoy.extensions.filters.http.filter_chain.v3.{FilterChain,FilterChainConfig,
FilterChainConfigPerRoute}, envoy.extensions.filters.http.oauth2.v3.OAuth2PerRoute,
envoy.extensions.filters.http.composite.v3.CompositePerRoute.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.extensions.filters.http.oauth2.v3 import oauth_pb2 as oauth_v3
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from xds.type.matcher.v3 import matcher_pb2 as matcher_v3

COMPOSITE_PACKAGE = "envoy.extensions.filters.http.composite.v3"
FILTER_CHAIN_PACKAGE = "envoy.extensions.filters.http.filter_chain.v3"
OAUTH2_PACKAGE = "envoy.extensions.filters.http.oauth2.v3"


def _file(package: str, imported: FileDescriptor, *messages: tuple[str, str, str, bool]) -> None:
    """Make known messages of one field each, number 1: name, field, type, repeated."""
    file = FileDescriptorProto(
        name=f"fluxgate/{package}.proto",
        package=package,
        dependency=[imported.name],
        syntax="proto3",
    )
    for name, field, kind, repeated in messages:
        file.message_type.add(name=name).field.add(
            name=field,
            number=1,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=f".{kind}",
            label=FieldDescriptorProto.LABEL_REPEATED
            if repeated
            else FieldDescriptorProto.LABEL_OPTIONAL,
        )
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def _message(name: str) -> type[Message]:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor)


_CHAIN = f"{FILTER_CHAIN_PACKAGE}.FilterChain"
_file(
    FILTER_CHAIN_PACKAGE,
    extension_v3.DESCRIPTOR,
    ("FilterChain", "filters", extension_v3.TypedExtensionConfig.DESCRIPTOR.full_name, True),
    ("FilterChainConfig", "default_filter_chain", _CHAIN, False),
    ("FilterChainConfigPerRoute", "filter_chain", _CHAIN, False),
)
_file(
    OAUTH2_PACKAGE,
    oauth_v3.DESCRIPTOR,
    ("OAuth2PerRoute", "config", oauth_v3.OAuth2Config.DESCRIPTOR.full_name, False),
)
_file(
    COMPOSITE_PACKAGE,
    matcher_v3.DESCRIPTOR,
    ("CompositePerRoute", "matcher", matcher_v3.Matcher.DESCRIPTOR.full_name, False),
)

CompositePerRoute = _message(f"{COMPOSITE_PACKAGE}.CompositePerRoute")
"""``matcher``: a ``xds.type.matcher.v3.Matcher`` whose actions run filters."""
FilterChainConfig = _message(f"{FILTER_CHAIN_PACKAGE}.FilterChainConfig")
"""``default_filter_chain``: a :class:`FilterChain` for every request, which the slots do not use."""
FilterChainConfigPerRoute = _message(f"{FILTER_CHAIN_PACKAGE}.FilterChainConfigPerRoute")
"""``filter_chain.filters``: a list of ``envoy.config.core.v3.TypedExtensionConfig``."""
OAuth2PerRoute = _message(f"{OAUTH2_PACKAGE}.OAuth2PerRoute")
"""``config``: an ``OAuth2Config``, for one route."""
