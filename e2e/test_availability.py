"""Requests go on while the control plane does not."""

import json

import httpx
import pytest
from support.load import Load

from e2e.application import echo
from e2e.manifests import route, text
from e2e.waiting import eventually

ROUTES = "routes.gateway.fluxgate.io"


@pytest.fixture
def served(cluster, gateway, namespace):
    """A URL that answers 200."""
    echo(cluster, namespace, "shop", replicas=2)
    cluster.kubectl(
        "apply", "-f", "-", stdin=text(route(namespace, "shop", f"/{namespace}", "shop"))
    )
    url = f"{gateway}/{namespace}"
    cluster.kubectl(
        "wait", "-n", namespace, "--for=condition=Programmed", f"{ROUTES}/shop", "--timeout=60s"
    )
    assert httpx.get(url).status_code == 200
    return url


def leader_of(cluster, release):
    lease = json.loads(
        cluster.kubectl(
            "get", "lease", "-n", release.namespace, "fluxgate-controller", "-o", "json"
        )
    )
    return lease["spec"]["holderIdentity"]


def test_when_the_leader_is_killed_no_request_fails_and_another_one_writes(
    cluster, release, namespace, served
):
    leader = leader_of(cluster, release)
    with Load(served) as load:
        cluster.kill(release.namespace, leader)
        eventually("another leader", lambda: leader_of(cluster, release) not in ("", leader))
        cluster.kubectl(
            "apply", "-f", "-", stdin=text(route(namespace, "late", f"/{namespace}/late", "shop"))
        )
        cluster.kubectl(
            "wait", "-n", namespace, "--for=condition=Programmed", f"{ROUTES}/late", "--timeout=60s"
        )
    assert load.failed == {}
    assert load.total > 100
    assert leader_of(cluster, release) != leader


def test_while_the_controller_is_rolled_no_request_fails(cluster, release, served):
    with Load(served) as load:
        cluster.kubectl(
            "rollout", "restart", "-n", release.namespace, "deployment/fluxgate-controller"
        )
        cluster.kubectl(
            "rollout",
            "status",
            "-n",
            release.namespace,
            "deployment/fluxgate-controller",
            "--timeout=180s",
        )
    assert load.failed == {}
    assert load.total > 100


def test_a_new_envoy_is_ready_only_when_it_serves_the_routes(cluster, release, served):
    cluster.kubectl("scale", "-n", release.namespace, "deployment/fluxgate-gateway", "--replicas=3")
    cluster.kubectl(
        "rollout",
        "status",
        "-n",
        release.namespace,
        "deployment/fluxgate-gateway",
        "--timeout=120s",
    )
    slices = json.loads(
        cluster.kubectl(
            "get",
            "endpointslices",
            "-n",
            release.namespace,
            "-l",
            "kubernetes.io/service-name=fluxgate-gateway",
            "-o",
            "json",
        )
    )
    ready = [
        endpoint["addresses"][0]
        for each in slices["items"]
        for endpoint in each["endpoints"]
        if endpoint["conditions"]["ready"]
    ]
    assert len(ready) == 3
    path, port = served.rpartition("/")[2], served.split(":")[2].split("/")[0]
    answers = {each: httpx.get(f"http://{each}:{port}/{path}").status_code for each in ready}
    assert set(answers.values()) == {200}, answers
    cluster.kubectl("scale", "-n", release.namespace, "deployment/fluxgate-gateway", "--replicas=2")
