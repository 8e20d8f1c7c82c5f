"""Every single resource of a snapshot can be checked by Envoy alone: what finding a culprit needs."""

import pytest
from support.envoy import validate
from support.gateway import cluster, forward, gateway, route
from support.keygateway import api_key
from support.upstream import EchoUpstream

from fluxgate.ir import KeyAuth, PlanBucket
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

pytestmark = pytest.mark.envoy


def test_each_resource_is_valid_by_itself() -> None:
    routes = (
        route("/a", forward("up"), key_auth=KeyAuth(), plan="gold"),
        route("/b", forward("up")),
    )
    with EchoUpstream() as echo:
        snapshot = build_snapshot(
            gateway(
                routes,
                (cluster("up", echo),),
                keys=(api_key("flc_service_x", plan="gold"),),
                plans=(PlanBucket("gold", 10, 1000, 10),),
            )
        )
    pairs = [(url, name) for url in typeurl.ORDER for name in snapshot.of_type(url)]
    assert len(pairs) >= 6
    for pair in pairs:
        result = validate(static_bootstrap(snapshot, only={pair}))
        assert result.ok, (pair, result.message)


def test_a_resource_envoy_rejects_is_found_by_itself() -> None:
    with EchoUpstream() as echo:
        broken = cluster("broken", echo, connect_timeout_ms=0)
        snapshot = build_snapshot(gateway((), (cluster("up", echo), broken)))
    assert validate(static_bootstrap(snapshot, only={(typeurl.CLUSTER, "up")})).ok
    result = validate(static_bootstrap(snapshot, only={(typeurl.CLUSTER, "broken")}))
    assert not result.ok
    assert "broken" in result.message or "ConnectTimeout" in result.message
