"""Thousands of targets with active checks, which all begin when Envoy starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from feature.xds_server.background import BackgroundXds
from feature.xds_server.envoy_config import acknowledged, bootstrap
from support.crowd import Crowd
from support.envoy import EnvoyProcess, eventually
from support.gateway import cluster, forward, gateway, route
from support.load import Load

from fluxgate.ir import ActiveCheck, Cluster, Gateway, ListenerIR
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

pytestmark = pytest.mark.envoy

TARGETS = 4_500
OPEN_FILES = 1_500
"""A check a millisecond at first: all may be used up only when answers take more than a second."""
RARELY = ActiveCheck("HTTP", "/", "", "", 5_000, 20_000, 1, 1, (200,))
OFTEN = ActiveCheck("HTTP", "/", "", "", 1_000, 5_000, 1, 1, (200,))


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with Crowd() as running:
        yield running


def serving(*pools: Cluster) -> Gateway:
    listener = ListenerIR("http", "127.0.0.1", 0, "main")
    return gateway((route("/", forward(pools[0].name)),), pools, listeners=(listener,))


def test_envoy_checks_three_times_as_many_targets_as_it_may_open_files(crowd: Crowd) -> None:
    snapshot = build_snapshot(serving(*crowd.pools(RARELY, TARGETS)))
    before = crowd.asked
    with EnvoyProcess(static_bootstrap(snapshot), open_files=OPEN_FILES) as envoy:
        enough = before + 2 * TARGETS
        eventually(lambda: crowd.asked >= enough, timeout=120, what="all are asked twice")
        assert envoy.alive()
        healthy = envoy.stats("membership_healthy").values()
        assert sum(healthy) == TARGETS


def test_a_step_in_the_number_of_checks_loses_no_request(crowd: Crowd) -> None:
    """Every pool with checks is made anew then, the one that serves, too."""
    served = cluster("pool", endpoints=(crowd.target(0),), active_check=OFTEN)
    others = tuple(crowd.target(each) for each in range(1, 1_001))

    def beside(count: int) -> Gateway:
        rest = cluster("rest", endpoints=others[:count], active_check=OFTEN)
        return serving(served, rest)

    with BackgroundXds() as xds:
        few, many = build_snapshot(beside(999)), build_snapshot(beside(1_000))
        xds.publish(few)
        with EnvoyProcess(bootstrap(xds.port, "DELTA_GRPC")) as envoy:
            acknowledged(xds, few)

            def made_anew() -> bool:
                dump = envoy.admin("/config_dump?resource=dynamic_active_clusters")
                return dump.count('"initial_jitter": "1s"') == 2

            assert not made_anew()
            with Load(f"http://127.0.0.1:{envoy.port('http')}/") as load:
                xds.publish(many)
                eventually(made_anew, what="both pools are made anew, and warm")
                until = load.total + 20
                eventually(lambda: load.total > until, what="some requests more")
    assert load.failed == {}
