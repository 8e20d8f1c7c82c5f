"""Secrets that routes refer to, in a configuration without a control plane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.oauth2.v3 import oauth_pb2 as oauth2_v3
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from fluxgate.xds.newer_messages import FilterChainConfigPerRoute
from fluxgate.xds.proto import any_of

_OPENED: dict[str, type[Message]] = {
    each.DESCRIPTOR.full_name: each
    for each in (route_v3.Route, route_v3.RouteList, FilterChainConfigPerRoute, oauth2_v3.OAuth2)
}
"""What may hold a secret's name, or lead to one that does, and comes packed."""


def use_static_secrets(message: Message) -> None:
    """Make every SDS reference below ``message`` one to ``static_resources.secrets``."""
    if isinstance(message, secret_v3.SdsSecretConfig):
        message.ClearField("sds_config")
    elif isinstance(message, AnyMessage):
        _open(message)
    else:
        for field, value in message.ListFields():
            for each in _messages_in(field, value):
                use_static_secrets(each)


def _messages_in(field: FieldDescriptor, value: Any) -> Iterable[Message]:  # noqa: ANN401 - what a field holds
    kind = field.message_type
    if kind is None:
        return ()
    if isinstance(value, Message):
        return (value,)
    if kind.GetOptions().map_entry:
        return [each for each in value.values() if isinstance(each, Message)]
    return list(value)


def _open(packed: AnyMessage) -> None:
    kind = _OPENED.get(packed.TypeName())
    if kind is not None:
        inner = kind.FromString(packed.value)
        use_static_secrets(inner)
        packed.CopyFrom(any_of(inner))
