"""Large resources and refused endpoints, with the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import (
    MUTATION,
    acknowledged,
    bootstrap,
    cluster,
    endpoints,
    listener,
    resource,
    route,
)
from support.envoy import EnvoyProcess, eventually
from support.upstream import EchoUpstream

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl

pytestmark = pytest.mark.envoy


@pytest.fixture(params=["DELTA_GRPC", "GRPC"])
def api_type(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def xds() -> Iterator[BackgroundXds]:
    with BackgroundXds() as server:
        yield server


def large_stamp(size: int) -> SnapshotResource:
    """A filter configuration of ``size`` bytes and a little more, most of it never used."""
    unused = {"remove": "x-" + "a" * 10_000}
    stamp = {"append": {"header": {"key": "x-stamp", "value": "large"}}}
    mutations = {"response_mutations": [stamp, *[unused] * (size // 10_000)]}
    body = {"name": "stamp", "typed_config": {"@type": MUTATION, "mutations": mutations}}
    return resource(typeurl.EXTENSION, extension_v3.TypedExtensionConfig, body, "stamp")


def test_a_resource_of_twenty_megabytes_reaches_envoy_and_is_used(
    xds: BackgroundXds, api_type: str
) -> None:
    with EchoUpstream() as upstream:
        stamp = large_stamp(20_000_000)
        assert len(stamp.payload) > 20_000_000
        snapshot = Snapshot.of(
            [
                cluster("blue"),
                endpoints("blue", upstream.port),
                route("main", "blue"),
                listener("plain", "main", filtered=True),
                stamp,
            ]
        )
        xds.publish(snapshot)
        with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
            acknowledged(xds, snapshot)
            answer = httpx.get(f"http://127.0.0.1:{envoy.port('plain')}/")
    assert (answer.status_code, answer.headers["x-stamp"]) == (200, "large")


def refused_endpoints(name: str) -> SnapshotResource:
    """Endpoints that Envoy refuses: a DNS name where an EDS cluster needs an address."""
    address = {"socket_address": {"address": "not-an-address.example.com", "port_value": 80}}
    body = {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }
    return resource(typeurl.ENDPOINT, endpoint_v3.ClusterLoadAssignment, body, name)


def test_endpoints_refused_while_their_cluster_warms_hold_back_nothing_else(
    xds: BackgroundXds, api_type: str
) -> None:
    with EchoUpstream("blue") as blue, EchoUpstream("green") as green:

        def serving(name: str, port: int, *more: SnapshotResource) -> Snapshot:
            fixed = [cluster(name), endpoints(name, port), route("main", name)]
            return Snapshot.of([*fixed, listener("plain", "main"), *more])

        xds.publish(serving("blue", blue.port))
        with EnvoyProcess(bootstrap(xds.port, api_type)) as envoy:
            acknowledged(xds, serving("blue", blue.port))
            bad = (cluster("bad"), refused_endpoints("bad"))
            xds.publish(serving("blue", blue.port, *bad))

            def refused() -> bool:
                node = xds.node()
                return node is not None and node.types[typeurl.ENDPOINT].nack is not None

            eventually(refused, what="the endpoints are refused")
            xds.publish(serving("green", green.port, *bad))
            url = f"http://127.0.0.1:{envoy.port('plain')}/"
            eventually(
                lambda: (httpx.get(url).status_code, bool(green.requests)) == (200, True),
                what="the later snapshot is served though the endpoints are still refused",
            )
            node = xds.node()
    assert node is not None
    assert node.types[typeurl.ENDPOINT].state is SyncState.REJECTED
    assert node.types[typeurl.ROUTE].state is SyncState.SYNCED
