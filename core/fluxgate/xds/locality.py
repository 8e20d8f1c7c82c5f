"""Where an Envoy is, so that requests can stay in its zone.

Envoy compares the zones of a pool with those of its "local cluster", the fleet it is part of. For
``force_local_zone`` all that counts is which zone is its own, so the local cluster of
every Envoy is itself alone, and nobody has to tell it of the others.
"""

from __future__ import annotations

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3

LOCAL_CLUSTER = "fluxgate-local"


def set_zone(bootstrap: bootstrap_v3.Bootstrap, zone: str) -> None:
    """Let an Envoy know its zone (``envoy.config.core.v3.Locality``); nothing without one."""
    if not zone:
        return
    bootstrap.node.locality.zone = zone
    bootstrap.cluster_manager.local_cluster_name = LOCAL_CLUSTER
    cluster = bootstrap.static_resources.clusters.add(
        name=LOCAL_CLUSTER, type=cluster_v3.Cluster.STATIC
    )
    cluster.load_assignment.cluster_name = LOCAL_CLUSTER
    here = cluster.load_assignment.endpoints.add()
    here.locality.zone = zone
    # nobody ever connects to it: it stands for this Envoy
    address = here.lb_endpoints.add().endpoint.address.socket_address
    address.address, address.port_value = "127.0.0.1", 1
