"""A snapshot as one self-contained static configuration.

What ADS delivers is written in place: route tables, endpoints, secrets and filter
configurations. ``envoy --mode validate`` then checks all of it, and Envoy can serve it
without a control plane.
"""

from __future__ import annotations

from collections.abc import Collection

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3
from envoy.config.listener.v3 import listener_components_pb2 as listener_components_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_config_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.extensions.transport_sockets.quic.v3 import quic_transport_pb2 as quic_v3
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as tls_v3

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.listener import HTTP_CONNECTION_MANAGER
from fluxgate.xds.proto import any_of
from fluxgate.xds.static_secrets import use_static_secrets
from fluxgate.xds.stats import stats_matcher


def static_bootstrap(
    snapshot: Snapshot,
    *,
    only: Collection[tuple[str, str]] | None = None,
    relocate_ports: bool = True,
) -> bootstrap_v3.Bootstrap:
    """The bootstrap that makes Envoy serve ``snapshot`` statically; the probe is left out.

    ``only`` keeps the resources named by these (type URL, name) pairs: a route table or
    filter configuration without its listener gets one of its own, and what a kept
    resource refers to but is not kept is simply absent. With ``relocate_ports`` every
    listener binds a free port of 127.0.0.1 instead of its own address.
    """

    def kept(type_url: str) -> dict[str, SnapshotResource]:
        return {
            name: resource
            for name, resource in snapshot.of_type(type_url).items()
            if not resource.final and (only is None or (type_url, name) in only)
        }

    bootstrap = bootstrap_v3.Bootstrap()
    bootstrap.stats_config.stats_matcher.CopyFrom(stats_matcher())
    static = bootstrap.static_resources
    for resource in kept(typeurl.SECRET).values():
        static.secrets.append(secret_v3.Secret.FromString(resource.payload))
    assignments = kept(typeurl.ENDPOINT)
    static.clusters.extend(
        _static_cluster(resource, assignments) for resource in kept(typeurl.CLUSTER).values()
    )
    inliner = _Inliner(kept(typeurl.ROUTE), kept(typeurl.EXTENSION))
    for resource in kept(typeurl.LISTENER).values():
        static.listeners.append(inliner.listener(resource))
    static.listeners.extend(inliner.leftovers())
    if relocate_ports:
        for listener in static.listeners:
            listener.address.socket_address.address = "127.0.0.1"
            listener.address.socket_address.port_value = 0
    return bootstrap


def _static_cluster(
    resource: SnapshotResource, assignments: dict[str, SnapshotResource]
) -> cluster_v3.Cluster:
    cluster = cluster_v3.Cluster.FromString(resource.payload)
    if cluster.type == cluster_v3.Cluster.EDS:
        found = assignments.get(cluster.eds_cluster_config.service_name)
        cluster.type = cluster_v3.Cluster.STATIC
        cluster.ClearField("eds_cluster_config")
        if found is not None:
            assignment = endpoint_v3.ClusterLoadAssignment.FromString(found.payload)
            cluster.load_assignment.CopyFrom(assignment)
        cluster.load_assignment.cluster_name = cluster.name
    if cluster.HasField("transport_socket"):
        context = tls_v3.UpstreamTlsContext()
        cluster.transport_socket.typed_config.Unpack(context)
        _local_secrets(context.common_tls_context)
        cluster.transport_socket.typed_config.CopyFrom(any_of(context))
    return cluster


def _local_secrets(common: tls_v3.CommonTlsContext) -> None:
    """Make every SDS reference one to ``static_resources.secrets``."""
    for config in common.tls_certificate_sds_secret_configs:
        config.ClearField("sds_config")
    if common.HasField("validation_context_sds_secret_config"):
        common.validation_context_sds_secret_config.ClearField("sds_config")
    if common.HasField("combined_validation_context"):
        combined = common.combined_validation_context
        combined.validation_context_sds_secret_config.ClearField("sds_config")


class _Inliner:
    """Writes route tables and filter configurations into connection managers."""

    def __init__(
        self, tables: dict[str, SnapshotResource], extensions: dict[str, SnapshotResource]
    ) -> None:
        self._tables = tables
        self._extensions = extensions
        self._used: set[tuple[str, str]] = set()

    def listener(self, resource: SnapshotResource) -> listener_v3.Listener:
        """The listener with everything in place."""
        listener = listener_v3.Listener.FromString(resource.payload)
        for chain in listener.filter_chains:
            self._chain(chain)
        return listener

    def leftovers(self) -> list[listener_v3.Listener]:
        """Listeners for the route tables and filters that no kept listener takes."""
        tables = [name for name in self._tables if (typeurl.ROUTE, name) not in self._used]
        unused = [name for name in self._extensions if (typeurl.EXTENSION, name) not in self._used]
        if unused and not tables:
            tables = [""]
        return [self._leftover(index, name, unused) for index, name in enumerate(tables)]

    def _leftover(self, index: int, table: str, extensions: list[str]) -> listener_v3.Listener:
        manager = hcm_v3.HttpConnectionManager(stat_prefix=f"static-{index}")
        manager.route_config.CopyFrom(self._table(table))
        for name in extensions:
            manager.http_filters.add(name=name, disabled=True).typed_config.CopyFrom(
                self._extension(name).typed_config
            )
        manager.http_filters.add(
            name="envoy.filters.http.router", typed_config=any_of(router_v3.Router())
        )
        listener = listener_v3.Listener(name=f"static-{index}")
        listener.address.socket_address.address = "127.0.0.1"
        listener.filter_chains.add().filters.add(
            name=HTTP_CONNECTION_MANAGER, typed_config=any_of(manager)
        )
        return listener

    def _chain(self, chain: listener_components_v3.FilterChain) -> None:
        for network_filter in chain.filters:
            manager = hcm_v3.HttpConnectionManager()
            if network_filter.typed_config.Unpack(manager):
                self._manager(manager)
                network_filter.typed_config.CopyFrom(any_of(manager))
        context = tls_v3.DownstreamTlsContext()
        if chain.transport_socket.typed_config.Unpack(context):
            _local_secrets(context.common_tls_context)
            chain.transport_socket.typed_config.CopyFrom(any_of(context))
        transport = quic_v3.QuicDownstreamTransport()
        if chain.transport_socket.typed_config.Unpack(transport):
            _local_secrets(transport.downstream_tls_context.common_tls_context)
            chain.transport_socket.typed_config.CopyFrom(any_of(transport))

    def _manager(self, manager: hcm_v3.HttpConnectionManager) -> None:
        if manager.HasField("rds"):
            table = self._table(manager.rds.route_config_name)
            manager.route_config.CopyFrom(table)
        kept = []
        for entry in manager.http_filters:
            if entry.HasField("config_discovery"):
                if entry.name not in self._extensions:
                    continue
                entry.typed_config.CopyFrom(self._extension(entry.name).typed_config)
            kept.append(entry)
        del manager.http_filters[:]
        manager.http_filters.extend(kept)

    def _table(self, name: str) -> route_config_v3.RouteConfiguration:
        self._used.add((typeurl.ROUTE, name))
        table = route_config_v3.RouteConfiguration(name=name)
        if name in self._tables:
            table = route_config_v3.RouteConfiguration.FromString(self._tables[name].payload)
            if names.OIDC_FILTER.encode() in self._tables[name].payload:
                use_static_secrets(table)
        # as over RDS: whether every cluster is there is the snapshot's own check
        table.validate_clusters.value = False
        return table

    def _extension(self, name: str) -> extension_v3.TypedExtensionConfig:
        self._used.add((typeurl.EXTENSION, name))
        return extension_v3.TypedExtensionConfig.FromString(self._extensions[name].payload)
