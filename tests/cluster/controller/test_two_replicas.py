"""Two replicas, both serving; one is lost, or the API server is, while requests never stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cluster.controller.conftest import Site
from support.cluster import OwnControlPlane
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import EnvoyProcess, eventually
from support.load import constant_load
from support.ports import free_port
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

LEASE = ("--lease-duration", "3")
"""A leader that is gone is replaced after 3 s instead of 15, so that the test is short."""

WRITES = "fluxgate_controller_status_writes_total"
ROUTES = tuple(f"r{number}" for number in range(5))


@pytest.fixture
def replicas(site: Site) -> Iterator[dict[str, ControllerProcess]]:
    """Two replicas over five programmed Routes, by identity."""
    site.apply(site.gateway, site.backend("echo"))
    site.apply(*(site.route(name, f"/{name}", "echo") for name in ROUTES))
    with ExitStack() as stack:
        made = {
            name: stack.enter_context(
                controller(site.plane.kubeconfig, site.namespace, *LEASE, identity=name)
            )
            for name in ("one", "two")
        }
        yield made


def leader(replicas: dict[str, ControllerProcess]) -> tuple[ControllerProcess, ControllerProcess]:
    """Who leads, and the other."""

    def found() -> list[ControllerProcess]:
        return [
            each for each in replicas.values() if each.metric("fluxgate_controller_leader") == 1
        ]

    (leading,) = eventually(found, what="a leader") or []
    (other,) = (each for each in replicas.values() if each is not leading)
    return leading, other


def programmed(site: Site) -> None:
    """Return when every Route says that it is served, and their Backend, too."""
    named = [("routes.gateway.fluxgate.io", name) for name in ROUTES]
    for kind, name in (*named, ("backend", "echo")):
        eventually(
            lambda kind=kind, name=name: site.condition(kind, name) == "True Programmed",
            what=f"{name} is programmed",
        )


def versions(site: Site) -> dict[str, str]:
    """The resource version of every Route and Backend; a GatewayConfig's status counts nodes."""
    listed = site.plane.kubectl(
        "get", "-n", site.namespace, "routes.gateway.fluxgate.io,backends",
        "-o", "json",
    )  # fmt: skip
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
        for each in json.loads(listed)["items"]
    }


def stored_statuses(site: Site) -> list[dict[str, Any]]:
    """The objects of the namespace as the API server answered every patch of a status."""
    return [
        event["responseObject"]
        for event in site.plane.audit_events()
        if event["verb"] == "patch"
        and event.get("objectRef", {}).get("namespace") == site.namespace
        and event["objectRef"].get("subresource") == "status"
        and event["stage"] == "ResponseComplete"
        and event["responseStatus"]["code"] == 200
    ]


def served_by(envoy: EnvoyProcess) -> list[dict[str, Any]]:
    """Everything dynamic Envoy has, with versions and times of the last update."""
    dump = json.loads(envoy.admin("/config_dump"))["configs"]
    return [
        each
        for each in dump
        if each["@type"].rpartition(".")[2]
        in ("ListenersConfigDump", "ClustersConfigDump", "RoutesConfigDump")
    ]


def test_killing_the_leader_costs_no_request_and_the_other_goes_on_writing(
    site: Site, replicas: dict[str, ControllerProcess]
) -> None:
    leading, other = leader(replicas)
    with envoy_of(site.key, leading, other) as envoy:
        eventually(lambda: site.status("/r0") == 200, what="the routes are served")
        programmed(site)
        before, configuration = versions(site), served_by(envoy)
        with constant_load(site.port, "/r0") as statuses:
            leading.kill()
            other.until(lambda: other.metric("fluxgate_controller_leader") == 1, "a new leader")
            other.until(
                lambda: other.metric("fluxgate_controller_xds_nodes", gateway=site.key) == 1,
                "Envoy at the other replica",
            )
            assert served_by(envoy) == configuration, "reconnecting changed nothing in Envoy"

            site.apply(site.route("new", "/new", "echo"))
            eventually(lambda: site.status("/new") == 200, what="a new route is served")
            eventually(
                lambda: site.condition("routes.gateway.fluxgate.io", "new") == "True Programmed",
                what="the new leader writes",
            )
            eventually(lambda: statuses[200] > 100, what="the load goes on")
    after = versions(site)
    assert {name: after[name] for name in before} == before, "nothing is written twice"
    assert statuses == {200: statuses[200]}


def test_only_the_leader_writes_and_each_status_once(
    site: Site, replicas: dict[str, ControllerProcess]
) -> None:
    leading, other = leader(replicas)

    def all_of_them() -> list[dict[str, Any]] | None:
        """What the API server stored, once the leader counts as many right before and after."""
        before = leading.metric(WRITES, result="written")
        stored = stored_statuses(site)
        same = before == len(stored) == leading.metric(WRITES, result="written")
        return stored if same else None

    with (
        envoy_of(site.key, leading, node_id="a"),
        envoy_of(site.key, other, node_id="b"),
    ):
        programmed(site)
        stored = eventually(all_of_them, what="every status was written by the leader") or []
        assert other.metric(WRITES) == 0
    assert {each["metadata"]["name"] for each in stored} >= {*ROUTES, "echo", "main"}
    # a patch that says what is there already leaves the version of the object as it was
    versions = [(each["kind"], each["metadata"]["resourceVersion"]) for each in stored]
    assert len(set(versions)) == len(versions), "nothing is written twice"


def test_a_restart_of_the_api_server_costs_no_request(
    own_control_plane: OwnControlPlane,
) -> None:
    namespace = own_control_plane.new_namespace()
    with EchoUpstream("echo") as upstream:
        site = Site(own_control_plane, namespace, free_port(), upstream)
        site.apply(site.gateway, site.backend("echo"), site.route("r0", "/r0", "echo"))
        with (
            controller(site.plane.kubeconfig, namespace, *LEASE) as running,
            envoy_of(site.key, running) as envoy,
        ):
            eventually(lambda: site.status("/r0") == 200, what="the route is served")
            configuration = served_by(envoy)
            with constant_load(site.port, "/r0") as statuses:
                own_control_plane.restart_api_server()
                assert running.probe("/livez")[0] == 200
                assert running.probe("/readyz")[0] == 200
                assert served_by(envoy) == configuration
                site.apply(site.route("new", "/new", "echo"))
                eventually(lambda: site.status("/new") == 200, timeout=60, what="the watch goes on")
                eventually(
                    lambda: (
                        site.condition("routes.gateway.fluxgate.io", "new") == "True Programmed"
                    ),
                    timeout=60,
                    what="statuses go on",
                )
                eventually(lambda: statuses[200] > 100, what="the load goes on")
    assert statuses == {200: statuses[200]}
