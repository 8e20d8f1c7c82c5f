"""Envoy's bootstrap: who it is, where its control plane is, and what protects it.

The message is ``envoy.config.bootstrap.v3.Bootstrap``. Everything else Envoy serves arrives over ADS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import address_pb2 as address_v3
from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.config.core.v3 import config_source_pb2 as config_source_v3
from envoy.config.core.v3 import grpc_service_pb2 as grpc_service_v3
from envoy.config.overload.v3 import overload_pb2 as overload_v3
from envoy.extensions.resource_monitors.downstream_connections.v3 import (
    downstream_connections_pb2 as connections_v3,
)
from envoy.extensions.resource_monitors.fixed_heap.v3 import fixed_heap_pb2 as heap_v3
from envoy.extensions.transport_sockets.tls.v3 import common_pb2 as tls_common_v3
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as tls_v3
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as http_v3
from google.protobuf.json_format import MessageToDict

from fluxgate.xds.health_listener import build_health_listener
from fluxgate.xds.locality import set_zone
from fluxgate.xds.metrics import build_admin_cluster, build_metrics_listener
from fluxgate.xds.proto import any_of, duration
from fluxgate_operator.envoy.relay import build_relay_listener
from fluxgate_operator.envoy.token_identity import TokenIdentity, identify

XDS_CLUSTER = "fluxgate-xds"
PROBE_METADATA = "fluxgate.io/probe"
CONCURRENCY_METADATA = "fluxgate.io/concurrency"
HEALTH_METADATA, HEALTH_TOKEN_METADATA = "fluxgate.io/health", "fluxgate.io/health-token"

RUNTIME: Mapping[str, float] = {"re2.max_program_size.error_level": 1000.0}
"""Runtime values every Envoy of ours runs and validates with.

Envoy refuses regular expressions with a program larger than 100 by default, which
everyday ones exceed; 1000 still bounds what one expression may cost a request.
"""


@dataclass(frozen=True, slots=True)
class XdsTLS:
    """PEM files for mutual TLS towards the control plane."""

    ca: Path
    certificate: Path
    private_key: Path
    server_name: str


@dataclass(frozen=True, slots=True)
class BootstrapOptions:
    """What a bootstrap says.

    ``gateway`` becomes ``node.cluster``, by which the control plane knows what to send.
    ``xds_tls`` None is plain text, for loopback only, unless ``xds_token`` says that Envoy
    proves itself by a ServiceAccount's token. ``admin`` is (address, port) or
    the path of a Unix socket. ``probe`` and ``metrics`` are (address, port). ``probe_listener`` and
    ``stats_matcher`` are in protobuf's JSON form, because the pure core builds them.
    ``health`` is (address, port) where the control plane asks for the health of targets, with
    ``health_token``. ``zone`` is where this Envoy runs.
    ``more_xds`` are (address, port) of further replicas of the control plane: Envoy goes to
    another one when the one it talks to is gone, and keeps what it has meanwhile.
    ``relay`` is (address, port) where xDS is passed on: then Envoy itself asks for nothing.
    """

    node_id: str
    gateway: str
    xds_host: str
    xds_port: int
    admin: tuple[str, int] | Path
    concurrency: int
    xds_tls: XdsTLS | None = None
    xds_token: TokenIdentity | None = None
    probe: tuple[str, int] | None = None
    probe_listener: Mapping[str, Any] | None = None
    metrics: tuple[str, int] | None = None
    health: tuple[str, int] | None = None
    health_token: str = ""
    zone: str = ""
    stats_matcher: Mapping[str, Any] | None = None
    max_connections: int = 50_000
    max_heap_bytes: int | None = None
    metadata: Mapping[str, str] | None = None
    more_xds: tuple[tuple[str, int], ...] = ()
    relay: tuple[str, int] | None = None


def build_bootstrap(options: BootstrapOptions) -> dict[str, Any]:
    """The bootstrap in protobuf's JSON form."""
    message = bootstrap_v3.Bootstrap(
        node=_node(options),
        dynamic_resources=_dynamic_resources() if options.relay is None else None,
        admin=bootstrap_v3.Admin(address=_address(options.admin)),
        overload_manager=_overload_manager(options),
        deferred_stat_options={"enable_deferred_creation_stats": True},
    )
    message.static_resources.clusters.append(_xds_cluster(options))
    if options.metrics is not None:
        message.static_resources.listeners.append(build_metrics_listener(*options.metrics))
    if options.health is not None:
        listener = build_health_listener(*options.health, options.health_token)
        message.static_resources.listeners.append(listener)
    if options.metrics is not None or options.health is not None:
        message.static_resources.clusters.append(build_admin_cluster(message.admin.address))
    set_zone(message, options.zone)
    if options.relay is not None:
        relay = build_relay_listener(*options.relay, XDS_CLUSTER)
        message.static_resources.listeners.append(relay)
    static = message.layered_runtime.layers.add(name="fluxgate")
    static.static_layer.update(RUNTIME)
    message.layered_runtime.layers.add(name="admin").admin_layer.SetInParent()
    # one JSON object a line (spdlog's patterns), which the supervisor reads back
    message.application_log_config.log_format.json_format.update(
        {"level": "%l", "logger": "%n", "source": "%g:%#", "message": "%j"}
    )
    result: dict[str, Any] = MessageToDict(message)
    if options.xds_token is not None:
        identify(result["staticResources"]["clusters"][0], options.xds_token)
    if options.probe_listener is not None:
        listeners = result["staticResources"].setdefault("listeners", [])
        listeners.append(dict(options.probe_listener))
    if options.stats_matcher is not None:
        result["statsConfig"] = {"statsMatcher": dict(options.stats_matcher)}
    return result


def render_bootstrap(options: BootstrapOptions) -> str:
    """The bootstrap as an indented JSON document."""
    return json.dumps(build_bootstrap(options), indent=2, sort_keys=True) + "\n"


def _node(options: BootstrapOptions) -> base_v3.Node:
    node = base_v3.Node(id=options.node_id, cluster=options.gateway)
    node.metadata.update(dict(options.metadata or {}))
    if options.probe is not None:
        address, port = options.probe
        node.metadata[PROBE_METADATA] = f"{address}:{port}"
    if options.health is not None:
        address, port = options.health
        node.metadata[HEALTH_METADATA] = f"{address}:{port}"
        node.metadata[HEALTH_TOKEN_METADATA] = options.health_token
    node.metadata[CONCURRENCY_METADATA] = float(options.concurrency)
    return node


def _dynamic_resources() -> bootstrap_v3.Bootstrap.DynamicResources:
    v3 = config_source_v3.ApiVersion.V3
    # No fetch timeout: Envoy stays not ready until its control plane has spoken, instead
    # of going ready with nothing to serve.
    ads = config_source_v3.ConfigSource(
        ads={}, resource_api_version=v3, initial_fetch_timeout=duration(0)
    )
    service = grpc_service_v3.GrpcService()
    service.envoy_grpc.cluster_name = XDS_CLUSTER
    # How soon a lost control plane is looked for again. Envoy's own limit of 30 s is how old a
    # configuration could get after all replicas of the control plane were replaced.
    back_off = service.envoy_grpc.retry_policy.retry_back_off
    back_off.base_interval.CopyFrom(duration(200))
    back_off.max_interval.CopyFrom(duration(2_000))
    return bootstrap_v3.Bootstrap.DynamicResources(
        ads_config=config_source_v3.ApiConfigSource(
            api_type=config_source_v3.ApiConfigSource.DELTA_GRPC,
            transport_api_version=v3,
            set_node_on_first_message_only=True,
            grpc_services=[service],
        ),
        lds_config=ads,
        cds_config=ads,
    )


def _address(address: tuple[str, int] | Path) -> address_v3.Address:
    if isinstance(address, Path):
        return address_v3.Address(pipe=address_v3.Pipe(path=str(address), mode=0o600))
    host, port = address
    return address_v3.Address(
        socket_address=address_v3.SocketAddress(address=host, port_value=port)
    )


def _xds_cluster(options: BootstrapOptions) -> cluster_v3.Cluster:
    places = ((options.xds_host, options.xds_port), *options.more_xds)
    static = all(host.replace(".", "").isdigit() or ":" in host for host, _ in places)
    cluster = cluster_v3.Cluster(
        name=XDS_CLUSTER,
        type=cluster_v3.Cluster.STATIC if static else cluster_v3.Cluster.STRICT_DNS,
        connect_timeout=duration(1_000),
    )
    cluster.load_assignment.cluster_name = XDS_CLUSTER
    locality = cluster.load_assignment.endpoints.add()
    for place in places:
        locality.lb_endpoints.add().endpoint.address.CopyFrom(_address(place))
    protocol = http_v3.HttpProtocolOptions()
    http2 = protocol.explicit_http_config.http2_protocol_options
    http2.connection_keepalive.interval.CopyFrom(duration(30_000))
    http2.connection_keepalive.timeout.CopyFrom(duration(10_000))
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    cluster.typed_extension_protocol_options[name].CopyFrom(any_of(protocol))
    if options.xds_tls is not None:
        cluster.transport_socket.name = "envoy.transport_sockets.tls"
        cluster.transport_socket.typed_config.CopyFrom(any_of(_tls_context(options.xds_tls)))
    return cluster


def _tls_context(tls: XdsTLS) -> tls_v3.UpstreamTlsContext:
    context = tls_v3.UpstreamTlsContext(sni=tls.server_name)
    common = context.common_tls_context
    common.alpn_protocols.append("h2")
    pair = common.tls_certificates.add()
    pair.certificate_chain.filename = str(tls.certificate)
    pair.private_key.filename = str(tls.private_key)
    common.validation_context.trusted_ca.filename = str(tls.ca)
    subject = common.validation_context.match_typed_subject_alt_names.add()
    subject.san_type = tls_common_v3.SubjectAltNameMatcher.DNS
    subject.matcher.exact = tls.server_name
    return context


def _overload_manager(options: BootstrapOptions) -> overload_v3.OverloadManager:
    manager = overload_v3.OverloadManager(refresh_interval=duration(250))
    connections = connections_v3.DownstreamConnectionsConfig(
        max_active_downstream_connections=options.max_connections
    )
    manager.resource_monitors.add(
        name="envoy.resource_monitors.global_downstream_max_connections",
        typed_config=any_of(connections),
    )
    if options.max_heap_bytes is not None:
        heap = "envoy.resource_monitors.fixed_heap"
        bound = heap_v3.FixedHeapConfig(max_heap_size_bytes=options.max_heap_bytes)
        manager.resource_monitors.add(name=heap, typed_config=any_of(bound))
        for action, threshold in (
            ("envoy.overload_actions.shrink_heap", 0.95),
            ("envoy.overload_actions.stop_accepting_requests", 0.98),
        ):
            trigger = manager.actions.add(name=action).triggers.add(name=heap)
            trigger.threshold.value = threshold
    return manager
