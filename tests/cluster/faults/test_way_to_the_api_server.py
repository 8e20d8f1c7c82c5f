"""Whatever happens between the controller and the API server, no request fails, no change is missed.

The API server itself is well, so things change behind the controller's back.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from cluster.controller.conftest import Site
from cluster.faults.stage import Stage, followed, lasts
from support.cluster import ControlPlane
from support.envoy import eventually
from support.fault_proxy import FaultProxy, Seen

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(300)]


def met(proxy: FaultProxy, stage: Stage) -> int:
    """How often Routes were asked for so far."""
    return sum(map(stage.asks_for_routes, proxy.seen))


def renews(seen: Seen) -> bool:
    """An attempt to renew the leader's Lease, which without a Retry-After is made every 0.4 s."""
    return seen.path.endswith("/leases/fluxgate-controller")


def test_cut_watches_are_made_anew(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        fault_proxy.cut()
        stage.change()
        stage.catches_up()


def test_watches_that_fell_silent_are_given_up(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        eventually(lambda: fault_proxy.strand(stage.watches_routes), what="a watch to strand")
        asked = sum(map(stage.watches_routes, fault_proxy.seen))
        stage.change()
        fault_proxy.wait_for(stage.watches_routes, count=asked + 1)
        stage.catches_up()


def test_a_black_hole_is_outlived(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        fault_proxy.black_hole()
        stage.change()
        lasts(lambda: met(fault_proxy, stage), 1)
        stage.unaware()
        fault_proxy.heal()
        stage.catches_up()


def test_refused_connections_are_outlived(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        fault_proxy.refuse()
        stage.change()
        # nobody sees a refused connection but who was refused
        lasts(
            lambda: stage.controller.metric("fluxgate_controller_api_requests_total", code="0"), 5
        )
        stage.unaware()
        fault_proxy.heal()
        stage.catches_up()


@pytest.mark.parametrize("code", [503, 403])
def test_answers_of_trouble_are_outlived(site: Site, fault_proxy: FaultProxy, code: int) -> None:
    with followed(site, fault_proxy) as stage:
        fault_proxy.answer(code)
        fault_proxy.cut()
        stage.change()
        lasts(lambda: met(fault_proxy, stage), 4)
        stage.unaware()
        fault_proxy.heal()
        stage.catches_up()


def test_being_told_to_wait_is_obeyed(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        began = time.monotonic()
        fault_proxy.answer(429, retry_after=2)
        fault_proxy.cut()
        stage.change()
        lasts(lambda: met(fault_proxy, stage), 2)
        stage.unaware()
        tried = sum(seen.at > began and renews(seen) for seen in fault_proxy.seen)
        # one at the start, one when the tenure ends, and then one every two seconds
        assert tried <= 2 + (time.monotonic() - began) / 2, "not before time"
        fault_proxy.heal()
        stage.catches_up()


def test_an_error_within_the_stream_is_outlived(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        eventually(lambda: fault_proxy.inject_error(500, stage.watches_routes), what="a watch")
        fault_proxy.answer(503, which=stage.asks_for_routes)
        fault_proxy.cut()
        stage.change()
        lasts(lambda: met(fault_proxy, stage), 2)
        stage.unaware()
        fault_proxy.heal()
        stage.catches_up()


def test_objects_deleted_before_a_410_are_gone(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        # the events of the deletion are lost: no watch until it is over, and then it is too late
        over = threading.Event()
        fault_proxy.answer(503, which=lambda seen: stage.watches_routes(seen) and not over.is_set())
        fault_proxy.answer(410, which=stage.watches_routes, times=1)
        fault_proxy.cut()
        stage.change()
        stage.unaware()
        asked = sum(map(stage.watches_routes, fault_proxy.seen))
        over.set()
        fault_proxy.wait_for(stage.watches_routes, count=asked + 1)
        stage.catches_up()


def test_a_rotated_token_is_taken_up(
    site: Site, control_plane: ControlPlane, fault_proxy: FaultProxy, tmp_path: Path
) -> None:
    control_plane.kubectl(
        "create", "rolebinding", "all", "-n", site.namespace, "--clusterrole=cluster-admin",
        f"--serviceaccount={site.namespace}:default",
    )  # fmt: skip
    fresh = control_plane.token_for(site.namespace, "default")
    token = tmp_path / "token"
    token.write_text(control_plane.token_for(site.namespace, "default", seconds=600))
    kubeconfig = fault_proxy.kubeconfig_at(tmp_path / "kubeconfig", {"tokenFile": str(token)})
    with followed(site, fault_proxy, kubeconfig=kubeconfig) as stage:
        fault_proxy.answer(401, which=lambda seen: seen.token != fresh)
        fault_proxy.cut()
        stage.change()
        lasts(lambda: met(fault_proxy, stage), 2)
        stage.unaware()
        token.write_text(fresh)
        stage.catches_up()
        eventually(
            lambda: [seen.token for seen in fault_proxy.seen[-3:]] == [fresh] * 3,
            what="only the new token is used",
        )
