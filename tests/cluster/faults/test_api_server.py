"""The API server itself goes away, comes back empty-headed, freezes, or forgets a kind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from cluster.controller.conftest import API, Site
from cluster.faults.stage import create, followed
from support.cluster import CRD_FOLDER, OwnControlPlane
from support.envoy import eventually
from support.fault_proxy import FaultProxy

pytestmark = pytest.mark.envoy

CRD = "upstreams.gateway.fluxgate.io"


def test_a_restart_behind_which_objects_were_deleted_is_outlived(
    fragile: OwnControlPlane, fragile_site: Site, fragile_proxy: FaultProxy
) -> None:
    with followed(fragile_site, fragile_proxy) as stage:
        # what changes while the way is closed is history that a restarted server does not have
        fragile_proxy.refuse()
        stage.change()
        fragile.stop_api_server()
        stage.unchanged()
        fragile.start_api_server()
        stage.unaware()
        fragile_proxy.heal()
        stage.catches_up()


def test_a_restart_in_the_middle_of_watches_is_outlived(
    fragile: OwnControlPlane, fragile_site: Site
) -> None:
    with followed(fragile_site, None) as stage:
        fragile.stop_api_server(kill=True)
        stage.unaware()
        fragile.start_api_server()
        stage.change()
        stage.catches_up()


@pytest.fixture
def resumed(fragile: OwnControlPlane) -> Iterator[None]:
    """A frozen etcd thaws, whatever becomes of the test."""
    yield
    fragile.resume("etcd")


@pytest.mark.usefixtures("resumed")
def test_a_frozen_etcd_is_waited_for(
    fragile: OwnControlPlane, fragile_site: Site, fragile_proxy: FaultProxy
) -> None:
    with followed(fragile_site, fragile_proxy) as stage:
        fragile.pause("etcd")
        changing = threading.Thread(target=stage.change)
        changing.start()
        stage.controller.until(
            lambda: "the Lease cannot be read or renewed" in stage.controller.stderr, "the trouble"
        )
        stage.unaware()
        fragile.resume("etcd")
        changing.join()
        stage.catches_up()


def test_a_kind_that_is_deleted_takes_only_its_own_along_and_comes_back(
    fragile: OwnControlPlane, fragile_site: Site, fragile_proxy: FaultProxy
) -> None:
    site = fragile_site
    pool = (
        API + "kind: Upstream\nmetadata: {name: pool}\n"
        f"spec: {{targets: [{{host: 127.0.0.1, port: {site.upstream.port}}}]}}\n"
    )
    pooled = site.route("pooled", "/pooled", "pool").replace("kind: Backend", "kind: Upstream")
    with followed(site, fragile_proxy) as stage:
        create(site, pool, pooled)
        eventually(lambda: site.status("/pooled") == 200, what="the pool is served")
        fragile.kubectl("delete", "crd", CRD)
        eventually(lambda: site.status("/pooled") != 200, what="the pool is gone")
        stage.controller.until(
            lambda: f"{CRD} is not installed" in stage.controller.stderr, "the log says so"
        )
        stage.change()
        stage.catches_up()
        fragile.install_crds(next(CRD_FOLDER.glob("*upstreams*")))
        create(site, pool)
        eventually(lambda: site.status("/pooled") == 200, what="the pool is back")
