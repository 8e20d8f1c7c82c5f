"""The controller is lost: Envoy goes on, and a new one finds everything as it was left."""

from __future__ import annotations

import json
import threading

import pytest
from cluster.controller.conftest import Site
from cluster.faults.stage import QUICK, ROUTES, configuration, create, followed
from support.cluster import ControlPlane
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import eventually
from support.fault_proxy import FaultProxy
from support.load import Load

_WRITES = "fluxgate_controller_status_writes_total"

pytestmark = pytest.mark.envoy


def at_the_port_of(lost: ControllerProcess) -> tuple[str, ...]:
    """Options of the next life of a controller: a Service would lead Envoy there."""
    return (*QUICK, "--xds-port", str(lost.xds_port))


def test_killed_and_started_again(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        stage.controller.kill()
        stage.unchanged()
        with controller(
            fault_proxy.kubeconfig, site.namespace, *at_the_port_of(stage.controller)
        ) as again:
            again.until(lambda: again.metric("fluxgate_controller_xds_nodes") == 1, "Envoy")
            stage.unchanged()
            stage.change()
            stage.catches_up()


def test_killed_and_started_again_after_things_changed(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        stage.controller.kill()
        stage.change()
        stage.unaware()
        with controller(fault_proxy.kubeconfig, site.namespace, *at_the_port_of(stage.controller)):
            stage.catches_up()


def test_started_again_while_the_api_server_is_away(site: Site, fault_proxy: FaultProxy) -> None:
    with followed(site, fault_proxy) as stage:
        fault_proxy.refuse()
        stage.controller.kill()
        stage.change()
        with controller(
            fault_proxy.kubeconfig,
            site.namespace,
            *at_the_port_of(stage.controller),
            ready=False,
        ) as again:
            again.until(lambda: "node connected" in again.stderr, "Envoy's stream")
            code, reason = again.probe("/readyz")
            assert (code, "yet to come" in reason) == (503, True)
            stage.unaware()
            fault_proxy.heal()
            stage.catches_up()


def test_a_leader_killed_while_it_writes_is_succeeded_and_nothing_is_written_twice(
    site: Site, control_plane: ControlPlane, fault_proxy: FaultProxy
) -> None:
    names = [f"r{number}" for number in range(100)]
    of_routes = f"{ROUTES.path(site.namespace)}/r"
    # the first leader gets through with so many, however long it takes us to see and to kill it
    allowed = iter(range(40))
    fault_proxy.answer(
        503,
        which=lambda seen: (
            seen.method == "PATCH"
            and seen.path.startswith(of_routes)
            and next(allowed, None) is None
        ),
    )
    create(site, site.gateway, site.backend("echo"), site.route("steady", "/steady", "echo"))
    with (
        controller(fault_proxy.kubeconfig, site.namespace, *QUICK, identity="one") as first,
        controller(control_plane.kubeconfig, site.namespace, *QUICK, identity="two") as second,
        envoy_of(site.key, first, second) as envoy,
    ):
        first.until(lambda: first.metric("fluxgate_controller_leader") == 1, "a leader")
        eventually(lambda: site.status("/steady") == 200, what="the route is served")
        with Load(f"http://127.0.0.1:{site.port}{'/steady'}") as load:
            applying = threading.Thread(
                target=create,
                args=(site, *(site.route(name, f"/{name}", "echo") for name in names)),
            )
            applying.start()
            first.until(lambda: first.metric(_WRITES, result="written") > 10, "some statuses")
            first.kill()
            done = _written(site)
            assert len(done) < len(names), "killed in the middle"
            applying.join()
            eventually(lambda: site.status(f"/{names[-1]}") == 200, what="all routes are served")
            second.until(
                lambda: second.metric("fluxgate_controller_xds_nodes", gateway=site.key) == 1,
                "Envoy at the other replica",
            )
            before = configuration(envoy)
            second.until(lambda: second.metric("fluxgate_controller_leader") == 1, "a new leader")
            second.until(lambda: set(names) <= _written(site).keys(), "all statuses")
            assert configuration(envoy) == before, "who leads is nothing to Envoy"
            eventually(lambda: load.total > 50, what="the load goes on to the end")
        after = _written(site)
        assert {name: after[name] for name in done} == done, "nothing is written twice"
        assert load.failed == {}


def _written(site: Site) -> dict[str, str]:
    """The resource version of every Route that says that it is programmed."""
    listed = site.plane.kubectl(
        "get", "-n", site.namespace, "routes.gateway.fluxgate.io", "-o", "json"
    )
    return {
        each["metadata"]["name"]: each["metadata"]["resourceVersion"]
        for each in json.loads(listed)["items"]
        if any(
            (condition["type"], condition["status"]) == ("Programmed", "True")
            for condition in each.get("status", {}).get("conditions", ())
        )
    }
