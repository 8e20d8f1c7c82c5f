"""OpenShift's Routes, on a cluster of its own: their CRD changes what the whole cluster can do."""

from __future__ import annotations

from pathlib import Path

from cluster.exposure.conftest import Fleet, fleet_in
from support.cluster import OwnControlPlane
from support.envoy import eventually
from support.statuses import until

from fluxgate.status import Reason
from fluxgate_operator.exposure.address import Address
from fluxgate_operator.kube.types import OPENSHIFT_ROUTES, SERVICES

STAND_IN = Path(__file__).with_name("openshift.yaml")
ROUTE = {"kind": "OpenShiftRoute"}


def install(plane: OwnControlPlane) -> None:
    plane.kubectl("apply", "-f", str(STAND_IN))
    plane.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(STAND_IN))
    eventually(
        lambda: plane.try_kubectl("get", "routes.route.openshift.io", "-A").returncode == 0,
        what="the storage of Routes",
    )


async def admit(fleet: Fleet, name: str) -> None:
    """What the router says of a Route that it serves."""
    told = {
        "host": "a.example.com",
        "routerName": "default",
        "routerCanonicalHostname": "router-default.apps.example.com",
        "conditions": [{"type": "Admitted", "status": "True"}],
    }
    patch = {"status": {"ingress": [told]}}
    await fleet.admin.merge_patch(
        OPENSHIFT_ROUTES, fleet.namespace, name, patch, subresource="status"
    )


async def test_routes_are_made_kept_and_removed(own_control_plane: OwnControlPlane) -> None:
    install(own_control_plane)
    namespace = own_control_plane.new_namespace()
    async with fleet_in(own_control_plane, namespace) as fleet:
        fleet.route("r", "a.example.com", "*.example.com")
        ref = await fleet.gateway({**ROUTE, "tlsSecretRef": {"name": "wild"}})
        await fleet.look()
        made = {
            each["spec"]["host"]: each
            for each in (await fleet.admin.list(OPENSHIFT_ROUTES, namespace)).items
        }
        assert made.keys() == {"a.example.com", "wildcard.example.com"}
        assert made["wildcard.example.com"]["spec"]["wildcardPolicy"] == "Subdomain"
        assert made["a.example.com"]["spec"]["tls"] == {
            "termination": "edge",
            "insecureEdgeTerminationPolicy": "Redirect",
            "externalCertificate": {"name": "wild"},
        }
        assert made["a.example.com"]["spec"]["to"]["name"] in await fleet.names(SERVICES)
        await until(lambda: len(fleet.written()) == 3)
        fleet.start()  # a new leader finds everything as it should be
        await fleet.look()
        condition = fleet.condition(ref)
        assert condition is not None
        assert condition.reason is Reason.PENDING

        for each in made.values():
            await admit(fleet, each["metadata"]["name"])
        fleet.start()
        await fleet.look()
        condition = fleet.condition(ref)
        assert condition is not None
        assert condition.reason is Reason.EXPOSED
        assert fleet.exposures.addresses(ref) == (
            Address("Hostname", "router-default.apps.example.com"),
        )
        assert len(fleet.written()) == 3

        fleet.route("r", "a.example.com")
        await fleet.look()
        assert await fleet.names(OPENSHIFT_ROUTES) == {made["a.example.com"]["metadata"]["name"]}

        # another kind: the Route goes after the Service is there
        await fleet.gateway({"kind": "NodePort"})
        await fleet.look()
        assert await fleet.names(OPENSHIFT_ROUTES) == set()
        await until(lambda: fleet.written()[-1][:2] == ("delete", "services"))
        verbs = [each[:2] for each in fleet.written()]
        assert verbs[-3:] == [("patch", "services"), ("delete", "routes"), ("delete", "services")]
