"""The control plane goes away and comes back with another configuration, under load."""

from __future__ import annotations

from collections import Counter

import pytest
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import (
    acknowledged,
    bootstrap,
    cluster,
    endpoints,
    listener,
    route,
)
from support.envoy import EnvoyProcess, eventually
from support.load import constant_load
from support.upstream import EchoUpstream

from fluxgate.snapshot import Snapshot

pytestmark = pytest.mark.envoy
ROUNDS = 6


def generation(number: int, *ports: int) -> Snapshot:
    """Every generation routes to a cluster of another name, so that the old one goes."""
    name = f"cluster-{number}"
    return Snapshot.of(
        [
            cluster(name),
            endpoints(name, ports[number % len(ports)]),
            route("main", name),
            listener("plain", "main"),
        ]
    )


def restarts(api_type: str, *, forget: bool) -> Counter[int]:
    """What the clients saw over some restarts, each with a changed configuration."""
    with EchoUpstream("even") as even, EchoUpstream("odd") as odd, BackgroundXds() as xds:
        ports = (even.port, odd.port)
        xds.publish(generation(0, *ports))
        with EnvoyProcess(bootstrap(xds.port, api_type), concurrency=2) as envoy:
            acknowledged(xds, generation(0, *ports))
            with constant_load(envoy.port("plain"), "/") as statuses:
                for number in range(1, ROUNDS + 1):
                    snapshot = generation(number, *ports)
                    xds.restart(snapshot, forget=forget)
                    acknowledged(xds, snapshot)
                enough = max(statuses[200] + 20, 100)
                eventually(lambda: statuses[200] > enough, what="requests succeed again")
    return statuses


def test_delta_loses_no_request_though_the_new_process_remembers_nothing() -> None:
    assert set(restarts("DELTA_GRPC", forget=True)) == {200}


@pytest.mark.parametrize("api_type", ["DELTA_GRPC", "GRPC"])
def test_a_lost_stream_loses_no_request(api_type: str) -> None:
    assert set(restarts(api_type, forget=False)) == {200}


def test_state_of_the_world_may_answer_503_for_a_moment_when_the_new_process_remembers_nothing() -> (
    None
):
    """The protocol cannot say what the client has, so the first CDS response drops it.

    What is promised: nothing worse than 503, no refused connection, and an end to it.
    """
    assert set(restarts("GRPC", forget=True)) <= {200, 503}
