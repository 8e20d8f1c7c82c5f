"""What an install leaves in the cluster."""

import json

PODS = ("fluxgate-controller", "fluxgate-gateway")


def test_two_controllers_and_two_envoys_are_ready_under_restricted_pod_security(cluster, release):
    for name in PODS:
        found = json.loads(
            cluster.kubectl("get", "deployment", "-n", release.namespace, name, "-o", "json")
        )
        assert found["status"]["readyReplicas"] == 2


def test_its_own_test_passes(cluster, release):
    cluster.helm("test", release.name, "-n", release.namespace, "--timeout=180s")


def test_the_gateway_config_of_the_release_is_programmed(cluster, release):
    cluster.kubectl(
        "wait",
        "-n",
        release.namespace,
        "--for=condition=Programmed",
        "gatewayconfigs.gateway.fluxgate.io/fluxgate",
        "--timeout=180s",
    )


def test_no_pod_was_started_twice(cluster, release):
    found = json.loads(cluster.kubectl("get", "pods", "-n", release.namespace, "-o", "json"))
    restarts = {
        each["metadata"]["name"]: status["restartCount"]
        for each in found["items"]
        for status in each["status"].get("containerStatuses", ())
    }
    assert set(restarts.values()) == {0}, restarts
