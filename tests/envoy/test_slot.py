"""A slot in the chain: routes fill it with filters of their own, and listeners never change."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as mutation_rules_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_config_v3
from envoy.extensions.filters.http.grpc_web.v3 import grpc_web_pb2 as grpc_web_v3
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as mutation_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import acknowledged, bootstrap
from google.protobuf.message import Message
from support.envoy import EnvoyProcess, eventually
from support.gateway import gateway

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.httpfilters.router import Router
from fluxgate.xds.httpfilters.slot import fill, slot
from fluxgate.xds.proto import ads, any_of

pytestmark = pytest.mark.envoy
SLOT = "fluxgate.test_slot"


def stamp(value: str) -> Message:
    """A filter that appends to a header of the answer."""
    append = {"header": {"key": "x-stamp", "value": value}}
    mutation = mutation_rules_v3.HeaderMutation(append=append)
    message: Message = mutation_v3.HeaderMutation(mutations={"response_mutations": [mutation]})
    return message


def listener() -> SnapshotResource:
    router = Router().http_filter(gateway())
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix="main",
        rds=hcm_v3.Rds(config_source=ads(), route_config_name="main"),
        http_filters=[slot(SLOT), router],
    )
    message = listener_v3.Listener(name="main")
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = 0
    message.filter_chains.add().filters.add(name="hcm", typed_config=any_of(manager))
    return SnapshotResource.of(
        typeurl.LISTENER,
        "main",
        message.SerializeToString(deterministic=True),
        references=[(typeurl.ROUTE, "main")],
    )


def table(*filters: tuple[str, Message]) -> Snapshot:
    """A route ``/slot`` whose slot holds ``filters``, and ``/empty`` beside it."""
    message = route_config_v3.RouteConfiguration(name="main")
    host = message.virtual_hosts.add(name="all", domains=["*"])
    for path in ("/slot", "/empty"):
        route = host.routes.add(match={"path": path}, direct_response={"status": 200})
        if path == "/slot":
            for name, config in filters:
                fill(route, SLOT, name, config)
    payload = message.SerializeToString(deterministic=True)
    return Snapshot.of([listener(), SnapshotResource.of(typeurl.ROUTE, "main", payload)])


@pytest.fixture(scope="module")
def xds() -> Iterator[BackgroundXds]:
    with BackgroundXds() as server:
        server.publish(table())
        yield server


@pytest.fixture(scope="module")
def envoy(xds: BackgroundXds) -> Iterator[EnvoyProcess]:
    with EnvoyProcess(bootstrap(xds.port, "DELTA_GRPC")) as running:
        yield running


@contextmanager
def connected(envoy: EnvoyProcess) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", envoy.port("main"), timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def stamps(connection: http.client.HTTPConnection, path: str = "/slot") -> list[str]:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return answer.headers.get_all("x-stamp") or []


def becomes(connection: http.client.HTTPConnection, expected: list[str]) -> None:
    """Envoy acknowledges before its workers serve, so ask until they do."""
    eventually(lambda: stamps(connection) == expected, what=f"the slot stamps {expected}")


def test_filters_are_put_in_changed_and_taken_out_without_a_change_of_the_listener(
    xds: BackgroundXds, envoy: EnvoyProcess
) -> None:
    with connected(envoy) as connection:
        becomes(connection, [])
        socket = connection.sock
        for value in ("first", "second"):
            xds.publish(table(("stamp", stamp(value))))
            becomes(connection, [value])
        # a filter without any configuration of its own is enough to fill it
        xds.publish(table(("web", grpc_web_v3.GrpcWeb())))
        becomes(connection, [])
        xds.publish(table(("stamp", stamp("last"))))
        becomes(connection, ["last"])
        assert stamps(connection, "/empty") == []
        xds.publish(table())
        becomes(connection, [])
        assert connection.sock is socket
    counted = envoy.stats("listener_manager.listener_")
    assert counted["listener_manager.listener_added"] == 1
    assert counted.get("listener_manager.listener_modified", 0) == 0
    assert counted.get("listener_manager.listener_in_place_updated", 0) == 0


def test_the_filters_of_one_slot_run_in_the_order_in_which_they_were_put_in(
    xds: BackgroundXds, envoy: EnvoyProcess
) -> None:
    xds.publish(table(("outer", stamp("outer")), ("inner", stamp("inner"))))
    with connected(envoy) as connection:
        # answers pass the chain backwards
        becomes(connection, ["inner", "outer"])


def test_a_filter_that_envoy_refuses_leaves_the_last_table_in_force(
    xds: BackgroundXds, envoy: EnvoyProcess
) -> None:
    good = table(("stamp", stamp("good")))
    xds.publish(good)
    acknowledged(xds, good)
    unnamed = mutation_v3.HeaderMutation(mutations={"response_mutations": [{"append": {}}]})
    xds.publish(table(("stamp", unnamed)))

    def refused() -> str:
        node = xds.node()
        state = node.types.get(typeurl.ROUTE) if node else None
        rejected = state is not None and state.state is SyncState.REJECTED
        return state.nack.message if rejected and state and state.nack else ""

    assert "HeaderMutation" in eventually(refused, what="the table is refused")
    with connected(envoy) as connection:
        becomes(connection, ["good"])
