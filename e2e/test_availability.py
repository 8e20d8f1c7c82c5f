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
        "wait", "-n", namespace, "--for=condition=Programmed", f"{ROUTES}/shop", "--timeout=180s"
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
            "wait",
            "-n",
            namespace,
            "--for=condition=Programmed",
            f"{ROUTES}/late",
            "--timeout=180s",
        )
        eventually("the load goes on", lambda: load.total > 100)
    assert load.failed == {}
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
        eventually("the load goes on", lambda: load.total > 100)
    assert load.failed == {}


@pytest.fixture
def third_envoy(cluster, release):
    """The address of one Envoy more, and at the end there are as many as before."""

    def upgrade(replicas):
        values = ("-f", str(release.values), "--set", f"gateway.replicas={replicas}")
        where = ("-n", release.namespace, *values, "--wait", "--timeout=180s")
        cluster.helm("upgrade", release.name, "charts/fluxgate", *where)

    before = ready_envoys(cluster, release)
    upgrade(3)
    try:
        (new,) = eventually("its endpoint", lambda: ready_envoys(cluster, release) - before)
        yield new
    finally:
        upgrade(2)


def ready_envoys(cluster, release):
    """The addresses behind the gateway's Service."""
    name = "kubernetes.io/service-name=fluxgate-gateway"
    slices = json.loads(
        cluster.kubectl("get", "endpointslices", "-n", release.namespace, "-l", name, "-o", "json")
    )
    return {
        endpoint["addresses"][0]
        for each in slices["items"]
        for endpoint in each["endpoints"]
        if endpoint["conditions"]["ready"]
    }


def test_a_new_envoy_is_ready_only_when_it_serves_the_routes(served, third_envoy):
    path, port = served.rpartition("/")[2], served.split(":")[2].split("/")[0]

    assert httpx.get(f"http://{third_envoy}:{port}/{path}").status_code == 200
