"""Listeners: one address and port each, with a connection manager that takes its routes by RDS.

Nothing that routes, keys or plans can change may appear here: a listener that changes
drains its connections, so all of that arrives by RDS and ECDS instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as mutation_rules_v3
from envoy.config.core.v3 import protocol_pb2 as protocol_v3
from envoy.config.listener.v3 import listener_components_pb2 as listener_components_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2 as tls_inspector_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as early_header_mutation_v3,
)

from fluxgate.ir import Gateway, ListenerIR
from fluxgate.xds import names
from fluxgate.xds.access_log import build_access_log
from fluxgate.xds.httpfilters import ordered_filters
from fluxgate.xds.https_redirect import redirect_filter
from fluxgate.xds.local_reply import build_local_reply
from fluxgate.xds.proto import ads, any_of, boolean, duration, uint32
from fluxgate.xds.quic import (
    alt_svc_filter,
    quic_name,
    quic_transport_socket,
    speak_http3,
    udp_listener,
)
from fluxgate.xds.tls import downstream_transport_socket
from fluxgate.xds.tracing import trace

HTTP_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
SERVER_NAME = "fluxgate"
_EARLY_HEADER_MUTATION = "envoy.http.early_header_mutation.header_mutation"
_TLS_INSPECTOR = "envoy.filters.listener.tls_inspector"

# the figures of Envoy's "Configuring Envoy as an edge proxy"
_CONNECTION_BUFFER_BYTES = 32 * 1024
_STREAM_WINDOW = 64 * 1024
_CONNECTION_WINDOW = 1024 * 1024
_DELAYED_CLOSE_MS = 1_000
_TLS_HANDSHAKE_MS = 10_000


def build_listener(gateway: Gateway, group: Sequence[ListenerIR]) -> listener_v3.Listener:
    """The Envoy listener for ``group``: all the gateway's listeners of one address and port.

    Envoy binds an address once, so listeners that share one and differ by server name
    become filter chains of one Envoy listener, which carries the name of the first.
    """
    first = group[0]
    message = listener_v3.Listener(
        name=first.name,
        per_connection_buffer_limit_bytes=uint32(_CONNECTION_BUFFER_BYTES),
        filter_chains=[chain for listener in group for chain in _chains(gateway, listener)],
    )
    message.address.socket_address.address = first.address
    message.address.socket_address.port_value = first.port
    if any(listener.tls or listener.closed for listener in group):
        inspector = any_of(tls_inspector_v3.TlsInspector())
        message.listener_filters.add(name=_TLS_INSPECTOR, typed_config=inspector)
    return message


def build_quic_listener(gateway: Gateway, group: Sequence[ListenerIR]) -> listener_v3.Listener:
    """The UDP listener beside that of ``group``, which serves HTTP/3 as a whole or not at all."""
    message = udp_listener(quic_name(group[0].name), group)
    message.filter_chains.extend(
        chain for listener in group for chain in _chains(gateway, listener, quic=True)
    )
    return message


def _chains(
    gateway: Gateway, listener: ListenerIR, *, quic: bool = False
) -> Iterator[listener_components_v3.FilterChain]:
    """A chain for every certificate that goes by server name, then the listener's own.

    Envoy drains only the chains that changed when nothing else of a listener did.
    """
    if listener.tls is not None:
        for each in listener.tls.by_name:
            tls = replace(listener.tls, certificates=(each.certificate,), by_name=())
            named = replace(listener, server_names=each.server_names, tls=tls)
            yield _filter_chain(gateway, named, f"{listener.name}/{each.certificate}", quic=quic)
    yield _filter_chain(gateway, listener, listener.name, quic=quic)


def _filter_chain(
    gateway: Gateway, listener: ListenerIR, name: str, *, quic: bool
) -> listener_components_v3.FilterChain:
    chain = listener_components_v3.FilterChain(name=name)
    match = chain.filter_chain_match
    match.server_names.extend(name for name in listener.server_names if name != "*")
    if listener.closed:
        return _ending(chain)
    if listener.tls and not quic:
        match.transport_protocol = "tls"
        chain.transport_socket.CopyFrom(downstream_transport_socket(listener.tls))
        chain.transport_socket_connect_timeout.CopyFrom(duration(_TLS_HANDSHAKE_MS))
    elif listener.tls:
        chain.transport_socket.CopyFrom(quic_transport_socket(listener.tls))
    manager = build_connection_manager(gateway, listener)
    if quic:
        speak_http3(gateway, manager)
    chain.filters.add(name=HTTP_CONNECTION_MANAGER, typed_config=any_of(manager))
    return chain


def _ending(chain: listener_components_v3.FilterChain) -> listener_components_v3.FilterChain:
    """A chain without filters: Envoy ends its connections before any handshake."""
    chain.filter_chain_match.transport_protocol = "tls"
    return chain


def build_connection_manager(
    gateway: Gateway, listener: ListenerIR
) -> hcm_v3.HttpConnectionManager:
    """The ``HttpConnectionManager`` of one listener."""
    manager = hcm_v3.HttpConnectionManager(
        # a dot would end what Prometheus gets as the label of the listener
        stat_prefix=listener.name.replace(".", "_"),
        codec_type=hcm_v3.HttpConnectionManager.AUTO,
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=listener.route_table),
        access_log=build_access_log(gateway),
        local_reply_config=build_local_reply(),
        server_name=SERVER_NAME,
        server_header_transformation=hcm_v3.HttpConnectionManager.OVERWRITE,
        delayed_close_timeout=duration(_DELAYED_CLOSE_MS),
    )
    _trust_nobody(gateway, manager)
    _tell_client_certificate(listener, manager)
    if gateway.tracing is not None:
        trace(manager, gateway.tracing)
    _normalise(manager)
    _limit(gateway, manager)
    if listener.redirect is not None:
        manager.http_filters.append(redirect_filter(listener.redirect))
    if listener.http3:
        manager.http_filters.append(alt_svc_filter(listener.alt_svc_port))
    for http_filter in ordered_filters():
        if (entry := http_filter.http_filter(gateway)) is not None:
            manager.http_filters.append(entry)
    # switched off here, and on by the routes that carry WebSockets
    manager.upgrade_configs.add(upgrade_type="websocket", enabled=boolean(value=False))
    return manager


def _trust_nobody(gateway: Gateway, manager: hcm_v3.HttpConnectionManager) -> None:
    """What a client says about itself: its address, its request's id, its identity."""
    manager.use_remote_address.value = True
    manager.xff_num_trusted_hops = gateway.trusted_hops
    # no range is internal: otherwise clients in one could set x-envoy-* headers
    manager.internal_address_config.cidr_ranges.add(
        address_prefix="255.255.255.255", prefix_len=uint32(32)
    )
    manager.generate_request_id.value = True
    manager.preserve_external_request_id = gateway.preserve_request_id
    manager.always_set_request_id_in_response = True
    strip_identity(manager)


def _tell_client_certificate(listener: ListenerIR, manager: hcm_v3.HttpConnectionManager) -> None:
    """``x-forwarded-client-cert``: what the listener verified, never what a client says.

    Without client certificates Envoy removes the header (``SANITIZE``, its default).
    """
    if listener.tls is not None and listener.tls.client_ca:
        manager.forward_client_cert_details = hcm_v3.HttpConnectionManager.SANITIZE_SET
        details = manager.set_current_client_cert_details
        details.subject.value = True
        details.uri = True
        details.dns = True
        details.cert = "Cert" in listener.tls.forward
        details.chain = "Chain" in listener.tls.forward


def strip_identity(manager: hcm_v3.HttpConnectionManager) -> None:
    """Remove the identity headers of every request before a route is chosen for it.

    The API key filter relies on this: it sets what a key states and removes nothing.
    """
    mutation = early_header_mutation_v3.HeaderMutation(
        mutations=[
            mutation_rules_v3.HeaderMutation(remove=header)
            for header in (*names.IDENTITY_HEADERS, names.ID_TOKEN_HEADER)
        ]
    )
    manager.early_header_mutation_extensions.add(
        name=_EARLY_HEADER_MUTATION, typed_config=any_of(mutation)
    )


def _normalise(manager: hcm_v3.HttpConnectionManager) -> None:
    """One spelling for every path and host, so that route matches cannot be tricked."""
    manager.normalize_path.value = True
    manager.merge_slashes = True
    manager.path_with_escaped_slashes_action = hcm_v3.HttpConnectionManager.REJECT_REQUEST
    manager.strip_any_host_port = True
    manager.common_http_protocol_options.headers_with_underscores_action = (
        protocol_v3.HttpProtocolOptions.DROP_HEADER
    )


def _limit(gateway: Gateway, manager: hcm_v3.HttpConnectionManager) -> None:
    """How much and how slowly a client may send."""
    manager.max_request_headers_kb.value = gateway.max_request_headers_kib
    manager.request_headers_timeout.CopyFrom(duration(gateway.client_header_timeout_ms))
    manager.stream_idle_timeout.CopyFrom(duration(gateway.idle_timeout_ms))
    common = manager.common_http_protocol_options
    common.max_headers_count.value = gateway.max_headers
    common.idle_timeout.CopyFrom(duration(gateway.idle_timeout_ms))
    http2 = manager.http2_protocol_options
    http2.max_concurrent_streams.value = gateway.max_concurrent_streams
    http2.initial_stream_window_size.value = _STREAM_WINDOW
    http2.initial_connection_window_size.value = _CONNECTION_WINDOW


def extension_names(gateway: Gateway) -> tuple[str, ...]:
    """The names of the filter configurations that every listener takes by ECDS."""
    entries = (http_filter.http_filter(gateway) for http_filter in ordered_filters())
    return tuple(
        entry.name for entry in entries if entry is not None and entry.HasField("config_discovery")
    )
