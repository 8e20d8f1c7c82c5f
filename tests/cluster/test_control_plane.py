"""The control plane of the tests themselves: what the other tests rely on."""

from __future__ import annotations

import pytest
from support.cluster import ControlPlane, OwnControlPlane
from support.cluster_processes import ClusterError
from support.envoy import eventually

from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import ForbiddenError
from fluxgate_operator.kube.types import CONFIG_MAPS, NAMESPACES


def test_a_fresh_namespace_has_a_service_account_for_pods(
    control_plane: ControlPlane, namespace: str
):
    control_plane.kubectl("run", "one", "--image=example.com/none", f"--namespace={namespace}")
    pod = control_plane.request("GET", f"/api/v1/namespaces/{namespace}/pods/one")
    assert pod["spec"]["serviceAccountName"] == "default"


async def test_a_service_account_has_only_the_rights_it_was_given(
    control_plane: ControlPlane, namespace: str
):
    control_plane.new_service_account(namespace, "reader")
    access = await load_access(control_plane.kubeconfig_for(namespace, "reader"), None, {})
    async with KubeClient(access) as client:
        with pytest.raises(ForbiddenError, match="reader"):
            await client.list(CONFIG_MAPS, namespace)
        control_plane.kubectl(
            *("create", "role", "reader", "--verb=list", "--resource=configmaps"),
            f"--namespace={namespace}",
        )
        control_plane.kubectl(
            *("create", "rolebinding", "reader", "--role=reader"),
            f"--serviceaccount={namespace}:reader",
            f"--namespace={namespace}",
        )
        control_plane.wait_for_right(namespace, "reader", "list", "configmaps")
        assert (await client.list(CONFIG_MAPS, namespace)).resource_version
        with pytest.raises(ForbiddenError):
            await client.list(NAMESPACES)
    user = f"system:serviceaccount:{namespace}:reader"
    eventually(lambda: len(control_plane.audit_events(user)) == 3, what="three audit events")
    asked = [
        (each["verb"], each["objectRef"]["resource"], each["responseStatus"]["code"])
        for each in control_plane.audit_events(user)
    ]
    assert asked == [
        ("list", "configmaps", 403),
        ("list", "configmaps", 200),
        ("list", "namespaces", 403),
    ]


def test_kubectl_says_why_it_failed(control_plane: ControlPlane, namespace: str):
    with pytest.raises(ClusterError, match="not found"):
        control_plane.kubectl("get", "configmap", "none", f"--namespace={namespace}")


@pytest.mark.usefixtures("with_controller_manager")
def test_with_the_controller_manager_a_namespace_goes_with_its_objects(
    control_plane: ControlPlane,
):
    name = control_plane.new_namespace()
    # the manager works off what all tests gave it; alone it takes the 5 s it waits by itself
    control_plane.kubectl("delete", "namespace", name, "--timeout=150s")
    with pytest.raises(ClusterError, match="404"):
        control_plane.request("GET", f"/api/v1/namespaces/{name}")


def test_an_own_api_server_keeps_its_address_and_objects_when_it_restarts(
    own_control_plane: OwnControlPlane,
):
    own_control_plane.kubectl("create", "configmap", "kept")
    own_control_plane.stop_api_server()
    with pytest.raises(ClusterError, match="refused"):
        own_control_plane.kubectl("get", "configmap", "kept")
    own_control_plane.start_api_server()
    assert own_control_plane.kubectl("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"
