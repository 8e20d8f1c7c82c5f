"""``fluxgate controller``: from ``kubectl apply`` to what a real Envoy answers."""

from __future__ import annotations

import json
import time

import pytest
from cluster.controller.conftest import KEY, Site
from support.controller import controller, envoy_of
from support.envoy import eventually
from support.fault_proxy import FaultProxy

from fluxgate_operator.settings import LeaseSettings

pytestmark = pytest.mark.envoy


def test_what_is_applied_is_served_and_says_so_and_what_is_deleted_is_not(site: Site) -> None:
    with controller(site.plane.kubeconfig, site.namespace) as running:
        site.apply(
            site.gateway,
            site.backend("echo"),
            site.route("open", "/open", "echo"),
            site.route("closed", "/closed", "echo", auth="Required"),
            site.api_key("partner"),
        )
        with envoy_of(site.key, running):
            eventually(lambda: site.status("/open/x") == 200, what="the route is served")
            assert site.status("/closed/x") == 401
            assert site.status("/closed/x", [("x-api-key", KEY)]) == 200
            for kind, name in (
                ("gatewayconfig", "main"),
                ("backend", "echo"),
                ("routes.gateway.fluxgate.io", "open"),
                ("apikey", "partner"),
            ):
                eventually(
                    lambda kind=kind, name=name: site.condition(kind, name) == "True Programmed",
                    what=f"{kind} {name} is programmed",
                )

            site.delete("routes.gateway.fluxgate.io", "open")
            eventually(lambda: site.status("/open/x") == 404, what="the route is gone")
            assert site.status("/closed/x", [("x-api-key", KEY)]) == 200


def test_an_edit_reaches_envoy_without_a_new_listener(site: Site) -> None:
    site.apply(site.gateway, site.backend("echo"), site.route("r", "/before", "echo"))
    with (
        controller(site.plane.kubeconfig, site.namespace) as running,
        envoy_of(site.key, running) as envoy,
    ):
        eventually(lambda: site.status("/before") == 200, what="the route is served")
        listeners = _listeners(envoy.admin("/config_dump?resource=dynamic_listeners"))
        site.apply(site.route("r", "/after", "echo"))
        eventually(lambda: site.status("/after") == 200, what="the edit is served")
        assert site.status("/before") == 404
        assert _listeners(envoy.admin("/config_dump?resource=dynamic_listeners")) == listeners


def _listeners(dump: str) -> list[tuple[str, str, str]]:
    """Name, version and time of the last update of every listener."""
    return [
        (each["name"], each["active_state"]["version_info"], each["active_state"]["last_updated"])
        for each in json.loads(dump)["configs"]
    ]


def test_it_is_live_but_not_ready_until_the_api_server_has_been_read_once(
    site: Site, fault_proxy: FaultProxy
) -> None:
    site.apply(site.gateway)
    fault_proxy.refuse()
    with controller(fault_proxy.kubeconfig, site.namespace, ready=False) as running:
        running.until(lambda: running.probe("/livez")[0] == 200, "an answer")
        code, reason = running.probe("/readyz")
        assert (code, "yet to come" in reason) == (503, True)
        assert running.metric("fluxgate_controller_leader") == 0

        fault_proxy.heal()
        running.wait_ready()
        assert running.probe("/readyz") == (200, "ok\n")


def test_without_an_api_server_it_stays_ready_and_serves_a_new_envoy_what_it_has(
    site: Site, fault_proxy: FaultProxy
) -> None:
    site.apply(site.gateway, site.backend("echo"), site.route("r", "/r", "echo"))
    with controller(fault_proxy.kubeconfig, site.namespace) as running:
        fault_proxy.refuse()
        with envoy_of(site.key, running):
            eventually(lambda: site.status("/r") == 200, what="a new Envoy serves the route")
        assert running.probe("/livez")[0] == 200
        assert running.probe("/readyz")[0] == 200


def test_an_envoy_keeps_its_configuration_when_a_restarted_controller_knows_nothing_yet(
    site: Site, fault_proxy: FaultProxy
) -> None:
    site.apply(site.gateway, site.backend("echo"), site.route("r", "/r", "echo"))
    with controller(fault_proxy.kubeconfig, site.namespace) as first:
        envoy = envoy_of(site.key, first)
        with envoy:
            eventually(lambda: site.status("/r") == 200, what="the route is served")
            version = envoy.stats("version_text|cluster_manager.cds.version")
            first.kill()
            fault_proxy.refuse()
            with controller(
                fault_proxy.kubeconfig,
                site.namespace,
                "--xds-port",
                str(first.xds_port),
                ready=False,
            ) as second:
                second.until(lambda: "node connected" in second.stderr, "Envoy's stream")
                assert site.status("/r") == 200
                assert envoy.stats("version_text|cluster_manager.cds.version") == version

                fault_proxy.heal()
                second.wait_ready()
                site.apply(site.route("more", "/more", "echo"))
                eventually(lambda: site.status("/more") == 200, what="a new route is served")


def test_at_a_signal_it_is_not_ready_lets_go_of_the_lease_and_ends_with_zero(site: Site) -> None:
    def holder() -> str:
        query = "jsonpath={.spec.holderIdentity}"
        name = ("lease", "fluxgate-controller")
        return site.plane.kubectl("get", "-n", site.namespace, *name, "-o", query)

    site.apply(site.gateway)
    with controller(site.plane.kubeconfig, site.namespace, identity="last") as running:
        running.until(lambda: running.metric("fluxgate_controller_leader") == 1, "leadership")
        assert holder() == "last"
        began = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - began < LeaseSettings().duration, "whoever is next need not wait"
        assert holder() == ""


def test_the_metrics_follow_what_happens(site: Site) -> None:
    site.apply(site.gateway, site.backend("echo"), site.route("r", "/r", "echo"))
    with (
        controller(site.plane.kubeconfig, site.namespace) as running,
        envoy_of(site.key, running),
    ):
        metric = running.metric
        eventually(lambda: site.status("/r") == 200, what="the route is served")
        running.until(
            lambda: metric("fluxgate_controller_status_writes_total", result="written") >= 3,
            "three statuses",
        )
        assert metric("fluxgate_controller_objects", kind="Route") == 1
        assert metric("fluxgate_controller_xds_nodes", gateway=site.key) == 1
        assert metric("fluxgate_controller_snapshot_info", gateway=site.key) == 1
        assert metric("fluxgate_controller_leader") == 1
        assert metric("fluxgate_controller_api_requests_total", verb="PATCH", code="200") >= 3
        assert metric("fluxgate_controller_reconcile_total", result="error") == 0
        assert metric("process_resident_memory_bytes") > 0

        turns = metric("fluxgate_controller_reconcile_total", result="success")
        proofs = metric("fluxgate_controller_propagation_seconds_count")
        site.apply(site.route("more", "/more", "echo"))
        running.until(
            lambda: metric("fluxgate_controller_propagation_seconds_count") > proofs,
            "proof of the second route",
        )
        assert metric("fluxgate_controller_reconcile_total", result="success") > turns
        assert metric("fluxgate_controller_xds_nodes_behind", gateway=site.key) == 0
