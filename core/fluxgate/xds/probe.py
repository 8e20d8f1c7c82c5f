"""The probe: proof that an Envoy serves a snapshot, not merely acknowledged it.

A worker thread applies updates in the order it gets them. The probe's route table is
sent last of all (``final``) and its answer carries the snapshot's version, so a worker
that answers with a version serves everything else of that version too.
"""

from __future__ import annotations

from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_config_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.proto import ads, any_of, payload_of

LISTENER_NAME = "fluxgate-probe"


def build_probe(version: str) -> SnapshotResource:
    """The route table that answers any request with 200 and ``version`` in a header."""
    table = route_config_v3.RouteConfiguration(name=names.PROBE_ROUTE_TABLE)
    host = table.virtual_hosts.add(name="probe", domains=["*"])
    route = host.routes.add(name="probe")
    route.match.prefix = "/"
    route.direct_response.status = 200
    answer = route.response_headers_to_add.add()
    answer.header.key = names.PROBE_HEADER
    answer.header.value = version
    return SnapshotResource.of(typeurl.ROUTE, table.name, payload_of(table), final=True)


def build_probe_listener(address: str, port: int) -> listener_v3.Listener:
    """The static listener that serves the probe, for the bootstrap.

    Connections are spread evenly over the workers, so as many simultaneous connections
    as there are workers reach every one of them.
    """
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix=LISTENER_NAME,
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=names.PROBE_ROUTE_TABLE),
    )
    manager.http_filters.add(
        name="envoy.filters.http.router", typed_config=any_of(router_v3.Router())
    )
    listener = listener_v3.Listener(name=LISTENER_NAME)
    listener.address.socket_address.address = address
    listener.address.socket_address.port_value = port
    listener.connection_balance_config.exact_balance.SetInParent()
    chain = listener.filter_chains.add()
    chain.filters.add(
        name="envoy.filters.network.http_connection_manager", typed_config=any_of(manager)
    )
    # health probes of a fleet under overload must still be answered
    listener.ignore_global_conn_limit = True
    return listener
