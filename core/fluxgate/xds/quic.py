"""HTTP/3: a second Envoy listener, UDP on the port of the first, with the same chain of filters.

Clients learn of it by ``alt-svc`` (RFC 7838) in the answers of the first.

Protos: envoy.config.listener.v3.UdpListenerConfig, QuicProtocolOptions;
envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.core.v3 import address_pb2 as address_v3
from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2 as quic_v3

from fluxgate.ir import Gateway, ListenerIR, ListenerTLSIR
from fluxgate.xds.proto import any_of, boolean, uint32
from fluxgate.xds.tls import downstream_context

ALT_SVC_FILTER = "fluxgate.alt_svc"
_ALPN = ("h3",)
_MAX_AGE_SECONDS = 86_400
_TRANSPORT_SOCKET = "envoy.transport_sockets.quic"
_STREAM_WINDOW = 64 * 1024
_CONNECTION_WINDOW = 1024 * 1024


def quic_name(listener: str) -> str:
    """The name of the UDP listener beside ``listener``; no listener of a user's holds a slash."""
    return f"{listener}/http3"


def udp_listener(name: str, group: Sequence[ListenerIR]) -> listener_v3.Listener:
    """The listener without its filter chains."""
    first = group[0]
    message = listener_v3.Listener(name=name)
    message.address.socket_address.protocol = address_v3.SocketAddress.UDP
    message.address.socket_address.address = first.address
    message.address.socket_address.port_value = first.port
    message.udp_listener_config.quic_options.SetInParent()
    # packets of one connection come in one system call
    message.udp_listener_config.downstream_socket_config.prefer_gro.value = True
    return message


def quic_transport_socket(tls: ListenerTLSIR) -> base_v3.TransportSocket:
    """TLS 1.3 inside QUIC, with the certificates of the listener by the same SDS names.

    No early data: whoever copies its packets could send a request a second time.
    """
    transport = quic_v3.QuicDownstreamTransport(
        downstream_tls_context=downstream_context(tls, _ALPN),
        enable_early_data=boolean(value=False),
    )
    return base_v3.TransportSocket(name=_TRANSPORT_SOCKET, typed_config=any_of(transport))


def speak_http3(gateway: Gateway, manager: hcm_v3.HttpConnectionManager) -> None:
    """Turn a connection manager into one of HTTP/3."""
    manager.codec_type = hcm_v3.HttpConnectionManager.HTTP3
    options = manager.http3_protocol_options.quic_protocol_options
    options.max_concurrent_streams.CopyFrom(uint32(gateway.max_concurrent_streams))
    options.initial_stream_window_size.CopyFrom(uint32(_STREAM_WINDOW))
    options.initial_connection_window_size.CopyFrom(uint32(_CONNECTION_WINDOW))


def alt_svc_filter(port: int) -> hcm_v3.HttpFilter:
    """Tells clients of TCP, in every answer, where HTTP/3 is."""
    config = mutation_v3.HeaderMutation()
    header = config.mutations.response_mutations.add().append
    header.header.key = "alt-svc"
    header.header.value = f'h3=":{port}"; ma={_MAX_AGE_SECONDS}'
    # an upstream's own points to the upstream's ports
    header.append_action = base_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return hcm_v3.HttpFilter(name=ALT_SVC_FILTER, typed_config=any_of(config))
