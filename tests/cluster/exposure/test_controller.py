"""The whole controller: what is said of a GatewayConfig, what a watch tells, who cleans up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.cluster import ControlPlane
from support.controller import ControllerProcess, controller
from support.envoy import eventually

API = "apiVersion: gateway.fluxgate.io/v1alpha1\n"


class Edge:
    """A namespace with a running controller."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.running: ControllerProcess

    def kubectl(self, *args: str, stdin: str = "") -> str:
        return self.plane.kubectl("-n", self.namespace, *args, stdin=stdin)

    def gateway(self, kind: str) -> None:
        """Apply the GatewayConfig ``main``."""
        self.kubectl(
            *("apply", "-f", "-"),
            stdin=API + "kind: GatewayConfig\nmetadata: {name: main}\nspec:\n"
            f"  listeners: [{{name: http, port: 8080}}]\n  exposure: {{kind: {kind}}}\n",
        )

    def status(self) -> dict[str, object]:
        """The status of ``main``; its conditions by type, as ``status reason``."""
        status = json.loads(self.kubectl("get", "gatewayconfig", "main", "-o", "json")).get(
            "status", {}
        )
        conditions = {
            each["type"]: f"{each['status']} {each['reason']}"
            for each in status.get("conditions", ())
        }
        return {"conditions": conditions, "addresses": status.get("addresses")}

    def names(self, kind: str) -> set[str]:
        """The objects of a kind."""
        listed = self.kubectl("get", kind, "-o", "name").split()
        return {each.partition("/")[2] for each in listed}


@pytest.fixture
def edge(control_plane: ControlPlane, namespace: str) -> Iterator[Edge]:
    """A namespace with a running controller."""
    found = Edge(control_plane, namespace)
    with controller(control_plane.kubeconfig, namespace) as found.running:
        yield found
    control_plane.kubectl("-n", namespace, "delete", "services,ingresses", "--all", "--wait=false")


def test_the_config_says_whether_and_where_it_is_exposed_and_drift_is_repaired(
    edge: Edge,
) -> None:
    edge.gateway("NodePort")
    eventually(
        lambda: edge.status()["conditions"].get("Exposed") == "True Exposed",  # type: ignore[attr-defined]
        what="the condition",
    )
    (address,) = edge.status()["addresses"]  # type: ignore[misc]
    assert address["type"] == "NodePort"
    assert edge.status()["conditions"]["Accepted"] == "True Accepted"  # type: ignore[index]

    edge.kubectl(
        *("patch", "service", "fluxgate-main-external", "--type=merge"),
        *("-p", '{"spec": {"selector": {"gateway.fluxgate.io/gateway": "elsewhere"}}}'),
    )
    eventually(
        lambda: (
            "elsewhere"
            not in edge.kubectl("get", "service", "fluxgate-main-external", "-o", "json")
        ),
        what="the drift is repaired because the watch told of it",
    )

    edge.gateway("None")
    eventually(lambda: edge.names("services") == set(), what="the Service is gone")
    eventually(
        lambda: edge.status()["addresses"] is None and "Exposed" not in edge.status()["conditions"],  # type: ignore[operator]
        what="nothing is said of it any more",
    )


@pytest.mark.usefixtures("with_controller_manager")
def test_with_the_config_its_ways_in_are_collected_even_while_no_controller_runs(
    edge: Edge,
) -> None:
    edge.gateway("NodePort")
    eventually(lambda: edge.names("services"), what="the Service")
    edge.running.terminate()
    edge.kubectl("delete", "gatewayconfig", "main")
    eventually(lambda: edge.names("services") == set(), timeout=150, what="it is collected")
