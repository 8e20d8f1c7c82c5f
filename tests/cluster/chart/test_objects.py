"""Every object of the chart, put before a real API server that stores none of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.cluster import ControlPlane
from support.envoy import eventually
from support.helm import Helm, Manifest
from support.manifests import OF_OTHERS, pod_templates

CASES = Path(__file__).parents[2] / "chart" / "golden"
NAMES = sorted(path.name for path in CASES.iterdir() if path.is_dir())
RELEASE = "fluxgate"
CONTROLLER = f"{RELEASE}-controller"


def rendered(helm: Helm, case: str, namespace: str) -> list[Manifest]:
    values = yaml.safe_load((CASES / case / "values.yaml").read_text()) or {}
    if values.get("controller", {}).get("watchNamespaces"):
        values["controller"]["watchNamespaces"] = [namespace]
    made = helm.template(values, namespace=namespace, release=RELEASE)
    return [each for each in made if each["apiVersion"] not in OF_OTHERS]


@pytest.mark.parametrize("case", NAMES)
def test_the_api_server_takes_every_object_without_a_warning(
    control_plane: ControlPlane, helm: Helm, namespace: str, case: str
) -> None:
    control_plane.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/warn=restricted"
    )
    objects = rendered(helm, case, namespace)
    tried = control_plane.try_kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-f", "-"),
        stdin=yaml.safe_dump_all(objects),
    )
    assert (tried.returncode, tried.stderr) == (0, "")
    assert len(tried.stdout.splitlines()) == len(objects)


@pytest.mark.parametrize("case", NAMES)
def test_every_pod_is_admitted_where_only_restricted_ones_are(
    control_plane: ControlPlane, helm: Helm, namespace: str, case: str
) -> None:
    control_plane.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    pods = []
    for number, (_, template) in enumerate(pod_templates(rendered(helm, case, namespace))):
        spec = {**template["spec"], "serviceAccountName": "default", "restartPolicy": "Never"}
        spec.pop("priorityClassName", None)
        meta = {**template["metadata"], "name": f"pod-{number}", "namespace": namespace}
        pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    control_plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(pods))


@pytest.fixture
def granted(
    control_plane: ControlPlane, helm: Helm, namespace: str
) -> Iterator[tuple[str, list[Manifest]]]:
    """The chart's ServiceAccounts and RBAC alone, in the cluster for one test."""
    kinds = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    objects = [
        each
        for each in helm.template({}, namespace=namespace, release=RELEASE)
        if each["kind"] in kinds
    ]
    text = yaml.safe_dump_all(objects)
    control_plane.kubectl("apply", "-f", "-", stdin=text)
    yield namespace, objects
    control_plane.kubectl("delete", "--wait=false", "-f", "-", stdin=text)


def can(plane: ControlPlane, namespace: str, account: str, *question: str) -> bool:
    user = f"system:serviceaccount:{namespace}:{account}"
    asked = plane.try_kubectl("auth", "can-i", *question, f"--as={user}")
    assert asked.stdout.strip() in ("yes", "no"), asked.stderr
    return asked.stdout.strip() == "yes"


FORBIDDEN = (
    ("update", "routes.gateway.fluxgate.io", "-A"),
    ("delete", "routes.gateway.fluxgate.io", "-A"),
    ("create", "apikeys.gateway.fluxgate.io", "-A"),
    ("create", "secrets", "-A"),
    ("update", "secrets", "-A"),
    ("delete", "secrets", "-A"),
    ("create", "pods", "-A"),
    ("create", "pods/exec", "-A"),
    ("create", "serviceaccounts/token", "-A"),
    ("create", "clusterrolebindings"),
    ("patch", "customresourcedefinitions"),
    ("patch", "validatingwebhookconfigurations"),
    ("patch", "nodes"),
    ("impersonate", "users"),
    ("*", "*", "-A"),
)


def test_the_controller_cannot_touch_what_is_not_its_business(
    control_plane: ControlPlane, granted: tuple[str, list[Manifest]]
) -> None:
    namespace, _ = granted
    question = ("watch", "routes.gateway.fluxgate.io", "-A")
    eventually(lambda: can(control_plane, namespace, CONTROLLER, *question), what="its rights")
    allowed = [each for each in FORBIDDEN if can(control_plane, namespace, CONTROLLER, *each)]
    assert allowed == []


def test_a_gateway_s_account_has_no_right_at_all(
    control_plane: ControlPlane, granted: tuple[str, list[Manifest]]
) -> None:
    namespace, _ = granted
    control_plane.new_service_account(namespace, "nobody")

    def listed(account: str) -> str:
        user = f"system:serviceaccount:{namespace}:{account}"
        return control_plane.kubectl("auth", "can-i", "--list", "-n", namespace, f"--as={user}")

    assert sorted(listed(f"{RELEASE}-gateway").split("\n")) == sorted(listed("nobody").split("\n"))


def test_the_crds_job_can_make_our_definitions_and_no_other(
    control_plane: ControlPlane, granted: tuple[str, list[Manifest]], tmp_path: Path
) -> None:
    namespace, _ = granted
    login = control_plane.kubeconfig_for(namespace, f"{RELEASE}-crds")
    ours = control_plane.kubectl("get", "crd", "routes.gateway.fluxgate.io", "-o", "json")
    theirs = json.loads(ours)
    for field in ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"):
        theirs["metadata"].pop(field, None)
    theirs.pop("status")
    theirs["metadata"]["name"] = "roads.gateway.fluxgate.io"
    theirs["spec"]["names"] = {"plural": "roads", "singular": "road", "kind": "Road"}
    refused = control_plane.try_kubectl(
        "apply", "--server-side", "-f", "-", stdin=json.dumps(theirs), kubeconfig=login
    )
    assert "forbidden" in refused.stderr.lower()
    listed = control_plane.try_kubectl("get", "crd", kubeconfig=login)
    assert "forbidden" in listed.stderr.lower()


def test_the_routes_job_is_bound_to_the_namespace_of_the_release(
    control_plane: ControlPlane, granted: tuple[str, list[Manifest]]
) -> None:
    namespace, _ = granted
    account = f"{RELEASE}-routes"
    routes = "routes.gateway.fluxgate.io"
    question = ("create", routes, "-n", namespace)
    eventually(lambda: can(control_plane, namespace, account, *question), what="its rights")
    assert not can(control_plane, namespace, account, "create", routes, "-n", "default")
    assert not can(control_plane, namespace, account, "get", "secrets", "-n", namespace)
