"""A pod and its sidecar, without any server."""

from __future__ import annotations

import copy
import datetime as dt
import json
from typing import Any

import pytest

from fluxgate.api.parse import parse_object
from fluxgate.resources import ResourceStore
from fluxgate_operator.certificates.authority import make_authority
from fluxgate_operator.sidecar import InjectionRefusedError, SidecarSettings, inject

SETTINGS = SidecarSettings(
    image="fluxgate.example.com/fluxgate:1",
    xds_host="ctl.fluxgate.svc",
    xds_port=18000,
    server_name="ctl.fluxgate.svc",
    ca_pem=make_authority(
        "ours", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.timedelta(days=3650)
    ).certificate.decode(),
)


def configs(mode: str = "Sidecar", **spec: Any) -> Any:
    store = ResourceStore()
    store.upsert(
        parse_object(
            {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": "GatewayConfig",
                "metadata": {"name": "side", "namespace": "apps"},
                "spec": {"mode": mode, "listeners": [{"name": "http", "port": 15080}], **spec},
            }
        )
    )
    return store.freeze().gateway_configs


def pod(gateway: str = "side", **spec: Any) -> dict[str, Any]:
    annotations = {"gateway.fluxgate.io/gateway": gateway} if gateway else {}
    containers = [{"name": "app", "image": "app.example.com/app:1"}]
    return {
        "metadata": {"generateName": "app-", "annotations": annotations},
        "spec": {"containers": containers, **spec},
    }


def patched(before: dict[str, Any], **settings: Any) -> dict[str, Any]:
    after = copy.deepcopy(before)
    for step in inject(before, "apps", configs(**settings), SETTINGS):
        _, part, field = step["path"].split("/")
        after[part][field] = step["value"]
    return after


def sidecar(document: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = document["spec"]["initContainers"][0]
    return first


def test_the_sidecar_starts_before_the_applications_own_init_containers():
    own = {"name": "migrate", "image": "app.example.com/app:1"}
    after = patched(pod(initContainers=[own]))
    assert [each["name"] for each in after["spec"]["initContainers"]] == [
        "fluxgate-sidecar",
        "migrate",
    ]
    assert sidecar(after)["restartPolicy"] == "Always"


def test_a_pod_that_has_its_sidecar_is_left_alone():
    after = patched(pod())
    assert inject(after, "apps", configs(), SETTINGS) == []


def test_what_the_api_server_adds_to_the_sidecar_stays_on_reinvocation():
    after = patched(pod())
    sidecar(after)["imagePullPolicy"] = "IfNotPresent"
    assert sidecar(patched(after))["imagePullPolicy"] == "IfNotPresent"


def test_the_pods_own_volumes_and_annotations_stay():
    before = pod(volumes=[{"name": "data", "emptyDir": {}}])
    before["metadata"]["annotations"]["example.com/owner"] = "team"
    after = patched(before)
    assert {"name": "data", "emptyDir": {}} in after["spec"]["volumes"]
    assert after["metadata"]["annotations"]["example.com/owner"] == "team"


def test_the_node_is_the_pod_and_the_cluster_the_gateway():
    arguments = sidecar(patched(pod()))["args"]
    bootstrap = json.loads(arguments[arguments.index("--config-yaml") + 1])
    assert bootstrap["node"]["id"] == "$(POD_NAME)"
    assert bootstrap["node"]["cluster"] == "apps/side"


def test_annotations_choose_image_and_resources():
    before = pod()
    chosen = {"image": "other.example.com/envoy:2", "cpu": "1", "memory-limit": "1Gi"}
    for name, value in chosen.items():
        before["metadata"]["annotations"][f"gateway.fluxgate.io/sidecar-{name}"] = value
    container = sidecar(patched(before))
    assert container["image"] == "other.example.com/envoy:2"
    assert container["resources"]["requests"]["cpu"] == "1"
    assert container["resources"]["limits"] == {"memory": "1Gi"}


@pytest.mark.parametrize(("grace", "seconds"), [(None, "20"), (60, "20"), (15, "10"), (0, "1")])
def test_draining_ends_before_the_pods_grace_period(grace: int | None, seconds: str):
    spec = {} if grace is None else {"terminationGracePeriodSeconds": grace}
    hook = sidecar(patched(pod(**spec)))["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[-2:] == ["--seconds", seconds]


@pytest.mark.parametrize(
    ("document", "mode", "words"),
    [
        (pod(gateway=""), "Sidecar", "has no annotation gateway.fluxgate.io/gateway"),
        (pod(gateway="nope"), "Sidecar", "there is no GatewayConfig apps/nope"),
        (pod(), "Gateway", "set its spec.mode to Sidecar"),
        (pod(hostNetwork=True), "Sidecar", "hostNetwork"),
        (
            pod(containers=[{"name": "app", "ports": [{"containerPort": 15902}]}]),
            "Sidecar",
            "port 15902, which the sidecar needs for the probe",
        ),
    ],
)
def test_a_sidecar_that_cannot_be_is_refused_in_words(
    document: dict[str, Any], mode: str, words: str
):
    with pytest.raises(InjectionRefusedError, match=words):
        inject(document, "apps", configs(mode), SETTINGS)


def test_an_account_the_gateway_does_not_list_is_told_so_before_the_pod_is_made():
    wanted = pod(gateway="apps/side", serviceAccountName="web")
    with pytest.raises(InjectionRefusedError, match="ServiceAccount shop/web may not be a node"):
        inject(wanted, "shop", configs(), SETTINGS)
    listed = configs(allowedServiceAccounts=[{"namespace": "shop", "name": "web"}])
    assert inject(wanted, "shop", listed, SETTINGS)
