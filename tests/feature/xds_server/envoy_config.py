"""Small Envoy configurations, and a bootstrap that fetches them from our server."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (  # noqa: F401
    http_connection_manager_pb2,
)
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from feature.xds_server.background import BackgroundXds
from google.protobuf import json_format
from google.protobuf.message import Message
from support.envoy import eventually

from fluxgate.ports import NodeState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl

ADS = {"ads": {}, "resource_api_version": "V3"}
MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"


def resource(
    url: str,
    kind: type[Message],
    body: dict[str, Any],
    name: str,
    *refs: tuple[str, str],
    **kw: Any,
) -> SnapshotResource:
    payload = json_format.ParseDict(body, kind()).SerializeToString(deterministic=True)
    return SnapshotResource.of(url, name, payload, references=refs, **kw)


def cluster(name: str, timeout: str = "1s") -> SnapshotResource:
    body = {
        "name": name,
        "type": "EDS",
        "connect_timeout": timeout,
        "eds_cluster_config": {"eds_config": ADS},
    }
    return resource(typeurl.CLUSTER, cluster_v3.Cluster, body, name, (typeurl.ENDPOINT, name))


def endpoints(name: str, port: int) -> SnapshotResource:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    body = {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }
    return resource(typeurl.ENDPOINT, endpoint_v3.ClusterLoadAssignment, body, name)


def route(name: str, cluster_name: str) -> SnapshotResource:
    match = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name}}
    body = {
        "name": name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [match]}],
    }
    return resource(
        typeurl.ROUTE, route_v3.RouteConfiguration, body, name, (typeurl.CLUSTER, cluster_name)
    )


def probe(answer: str) -> SnapshotResource:
    match = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": answer}},
    }
    body = {
        "name": "probe",
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [match]}],
    }
    return resource(typeurl.ROUTE, route_v3.RouteConfiguration, body, "probe", final=True)


def listener(
    name: str, table: str, *, filtered: bool = False, secret: str = "", port: int = 0
) -> SnapshotResource:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        },
    }
    stamp = {"name": "stamp", "config_discovery": {"config_source": ADS, "type_urls": [MUTATION]}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": table, "config_source": ADS},
        "http_filters": [*([stamp] if filtered else []), router],
    }
    chain: dict[str, Any] = {"filters": [{"name": "hcm", "typed_config": manager}]}
    references = [(typeurl.ROUTE, table)]
    if filtered:
        references.append((typeurl.EXTENSION, "stamp"))
    if secret:
        references.append((typeurl.SECRET, secret))
        chain["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificate_sds_secret_configs": [{"name": secret, "sds_config": ADS}]
                },
            },
        }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    body = {"name": name, "address": address, "filter_chains": [chain]}
    return resource(typeurl.LISTENER, listener_v3.Listener, body, name, *references)


def stamp(value: str) -> SnapshotResource:
    mutation = {"append": {"header": {"key": "x-stamp", "value": value}}}
    config = {"@type": MUTATION, "mutations": {"response_mutations": [mutation]}}
    body = {"name": "stamp", "typed_config": config}
    return resource(typeurl.EXTENSION, extension_v3.TypedExtensionConfig, body, "stamp")


def bootstrap(port: int, api_type: str) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    http2 = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "node": {"id": "envoy-1", "cluster": "default/main"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


def acknowledged(xds: BackgroundXds, snapshot: Snapshot) -> NodeState:
    def reached() -> NodeState | None:
        node = xds.node()
        return node if node is not None and node.snapshot == snapshot.version else None

    found = eventually(reached, what="the snapshot is acknowledged in whole")
    assert found is not None
    return found
