"""Envoy's bootstrap: who it is, where its control plane is, and what protects it.

Built from the typed messages of ``envoy-data-plane`` (config.bootstrap.v3.Bootstrap).
Everything else Envoy serves arrives over ADS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.overload import v3 as overload_v3
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections import (
    v3 as connections_v3,
)
from envoy_data_plane.envoy.extensions.resource_monitors.fixed_heap import v3 as heap_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct, Value

from fluxgate_operator.envoy.token_identity import TokenIdentity, identify

XDS_CLUSTER = "fluxgate-xds"
PROBE_METADATA = "fluxgate.io/probe"
CONCURRENCY_METADATA = "fluxgate.io/concurrency"

_BACK_OFF = core_v3.BackoffStrategy(
    base_interval=timedelta(milliseconds=200), max_interval=timedelta(seconds=2)
)
"""How soon a lost control plane is looked for again."""

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
    the path of a Unix socket. ``probe`` is (address, port). ``probe_listener`` and
    ``stats_matcher`` are in protobuf's JSON form, because the pure core builds them.
    ``more_xds`` are (address, port) of further replicas of the control plane: Envoy goes to
    another one when the one it talks to is gone, and keeps what it has meanwhile.
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
    stats_matcher: Mapping[str, Any] | None = None
    max_connections: int = 50_000
    max_heap_bytes: int | None = None
    metadata: Mapping[str, str] | None = None
    more_xds: tuple[tuple[str, int], ...] = ()


def build_bootstrap(options: BootstrapOptions) -> dict[str, Any]:
    """The bootstrap in protobuf's JSON form."""
    message = bootstrap_v3.Bootstrap(
        node=_node(options),
        dynamic_resources=_dynamic_resources(),
        static_resources=bootstrap_v3.BootstrapStaticResources(clusters=[_xds_cluster(options)]),
        admin=bootstrap_v3.Admin(address=_address(options.admin)),
        overload_manager=_overload_manager(options),
        layered_runtime=_runtime(),
        deferred_stat_options=bootstrap_v3.BootstrapDeferredStatOptions(
            enable_deferred_creation_stats=True
        ),
        application_log_config=_log_config(),
    )
    result: dict[str, Any] = message.to_dict()
    if options.xds_token is not None:
        identify(result["staticResources"]["clusters"][0], options.xds_token)
    if options.probe_listener is not None:
        result["staticResources"]["listeners"] = [dict(options.probe_listener)]
    if options.stats_matcher is not None:
        result["statsConfig"] = {"statsMatcher": dict(options.stats_matcher)}
    return result


def render_bootstrap(options: BootstrapOptions) -> str:
    """The bootstrap as an indented JSON document."""
    return json.dumps(build_bootstrap(options), indent=2, sort_keys=True) + "\n"


def _node(options: BootstrapOptions) -> core_v3.Node:
    fields = {key: _text(value) for key, value in (options.metadata or {}).items()}
    if options.probe is not None:
        address, port = options.probe
        fields[PROBE_METADATA] = _text(f"{address}:{port}")
    fields[CONCURRENCY_METADATA] = Value(number_value=float(options.concurrency))
    return core_v3.Node(id=options.node_id, cluster=options.gateway, metadata=Struct(fields=fields))


def _text(value: str) -> Value:
    return Value(string_value=value)


def _dynamic_resources() -> bootstrap_v3.BootstrapDynamicResources:
    v3 = core_v3.ApiVersion.V3
    # No fetch timeout: Envoy stays not ready until its control plane has spoken, instead
    # of going ready with nothing to serve.
    ads = core_v3.ConfigSource(
        ads=core_v3.AggregatedConfigSource(),
        resource_api_version=v3,
        initial_fetch_timeout=timedelta(0),
    )
    return bootstrap_v3.BootstrapDynamicResources(
        ads_config=core_v3.ApiConfigSource(
            api_type=core_v3.ApiConfigSourceApiType.DELTA_GRPC,
            transport_api_version=v3,
            set_node_on_first_message_only=True,
            grpc_services=[
                core_v3.GrpcService(
                    envoy_grpc=core_v3.GrpcServiceEnvoyGrpc(
                        cluster_name=XDS_CLUSTER,
                        # Envoy's own limit of 30 s is how old a configuration could get after
                        # all replicas of the control plane were replaced.
                        retry_policy=core_v3.RetryPolicy(retry_back_off=_BACK_OFF),
                    )
                )
            ],
        ),
        lds_config=ads,
        cds_config=ads,
    )


def _address(address: tuple[str, int] | Path) -> core_v3.Address:
    if isinstance(address, Path):
        return core_v3.Address(pipe=core_v3.Pipe(path=str(address), mode=0o600))
    host, port = address
    return core_v3.Address(socket_address=core_v3.SocketAddress(address=host, port_value=port))


def _xds_cluster(options: BootstrapOptions) -> cluster_v3.Cluster:
    places = ((options.xds_host, options.xds_port), *options.more_xds)
    endpoints = [
        endpoint_v3.LbEndpoint(endpoint=endpoint_v3.Endpoint(address=_address(place)))
        for place in places
    ]
    http2 = core_v3.Http2ProtocolOptions(
        connection_keepalive=core_v3.KeepaliveSettings(
            interval=timedelta(seconds=30), timeout=timedelta(seconds=10)
        )
    )
    protocol = http_v3.HttpProtocolOptions(
        explicit_http_config=http_v3.HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=http2
        )
    )
    static = all(host.replace(".", "").isdigit() or ":" in host for host, _ in places)
    return cluster_v3.Cluster(
        name=XDS_CLUSTER,
        type=cluster_v3.ClusterDiscoveryType.STATIC
        if static
        else cluster_v3.ClusterDiscoveryType.STRICT_DNS,
        connect_timeout=timedelta(seconds=1),
        load_assignment=endpoint_v3.ClusterLoadAssignment(
            cluster_name=XDS_CLUSTER,
            endpoints=[endpoint_v3.LocalityLbEndpoints(lb_endpoints=endpoints)],
        ),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": AnyMessage.pack(protocol)
        },
        transport_socket=_transport_socket(options.xds_tls),
    )


def _transport_socket(tls: XdsTLS | None) -> core_v3.TransportSocket | None:
    if tls is None:
        return None
    context = tls_v3.UpstreamTlsContext(
        sni=tls.server_name,
        common_tls_context=tls_v3.CommonTlsContext(
            tls_certificates=[
                tls_v3.TlsCertificate(
                    certificate_chain=core_v3.DataSource(filename=str(tls.certificate)),
                    private_key=core_v3.DataSource(filename=str(tls.private_key)),
                )
            ],
            validation_context=tls_v3.CertificateValidationContext(
                trusted_ca=core_v3.DataSource(filename=str(tls.ca)),
                match_typed_subject_alt_names=[_subject(tls.server_name)],
            ),
            alpn_protocols=["h2"],
        ),
    )
    return core_v3.TransportSocket(
        name="envoy.transport_sockets.tls", typed_config=AnyMessage.pack(context)
    )


def _subject(name: str) -> tls_v3.SubjectAltNameMatcher:
    return tls_v3.SubjectAltNameMatcher(
        san_type=tls_v3.SubjectAltNameMatcherSanType.DNS,
        matcher=matcher_v3.StringMatcher(exact=name),
    )


def _overload_manager(options: BootstrapOptions) -> overload_v3.OverloadManager:
    monitors = [
        overload_v3.ResourceMonitor(
            name="envoy.resource_monitors.global_downstream_max_connections",
            typed_config=AnyMessage.pack(
                connections_v3.DownstreamConnectionsConfig(
                    max_active_downstream_connections=options.max_connections
                )
            ),
        )
    ]
    actions: list[overload_v3.OverloadAction] = []
    if options.max_heap_bytes is not None:
        heap = "envoy.resource_monitors.fixed_heap"
        monitors.append(
            overload_v3.ResourceMonitor(
                name=heap,
                typed_config=AnyMessage.pack(
                    heap_v3.FixedHeapConfig(max_heap_size_bytes=options.max_heap_bytes)
                ),
            )
        )
        for action, threshold in (
            ("envoy.overload_actions.shrink_heap", 0.95),
            ("envoy.overload_actions.stop_accepting_requests", 0.98),
        ):
            trigger = overload_v3.Trigger(
                name=heap, threshold=overload_v3.ThresholdTrigger(value=threshold)
            )
            actions.append(overload_v3.OverloadAction(name=action, triggers=[trigger]))
    return overload_v3.OverloadManager(
        refresh_interval=timedelta(milliseconds=250), resource_monitors=monitors, actions=actions
    )


def _runtime() -> bootstrap_v3.LayeredRuntime:
    static = bootstrap_v3.RuntimeLayer(
        name="fluxgate",
        static_layer=Struct(
            fields={key: Value(number_value=value) for key, value in RUNTIME.items()}
        ),
    )
    admin = bootstrap_v3.RuntimeLayer(
        name="admin", admin_layer=bootstrap_v3.RuntimeLayerAdminLayer()
    )
    return bootstrap_v3.LayeredRuntime(layers=[static, admin])


def _log_config() -> bootstrap_v3.BootstrapApplicationLogConfig:
    """One JSON object a line (spdlog's patterns), which the supervisor reads back."""
    return bootstrap_v3.BootstrapApplicationLogConfig(
        log_format=bootstrap_v3.BootstrapApplicationLogConfigLogFormat(
            json_format=Struct(
                fields={
                    "level": _text("%l"),
                    "logger": _text("%n"),
                    "source": _text("%g:%#"),
                    "message": _text("%j"),
                }
            )
        )
    )
