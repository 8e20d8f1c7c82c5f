"""Envoy beside the application, in pods that ask for it."""

import hashlib
import json

import httpx
import pytest
from support.load import Load

from e2e.application import echo
from e2e.manifests import manifest, route, text
from e2e.waiting import eventually

LISTENER = 15080
ASKS = {"gateway.fluxgate.io/inject": "true"}
# it ends at SIGTERM at once, whatever it is doing; that it is told so late enough is its own concern
ENDS_AT_ONCE = {
    "command": [
        "python3",
        "-c",
        (
            "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
            "exec(open('/app/echo.py').read())"
        ),
    ],
    "lifecycle": {"preStop": {"sleep": {"seconds": 6}}},
}


@pytest.fixture
def key(namespace):
    """An API key that no other scenario has."""
    return "flc_service_" + hashlib.sha256(namespace.encode()).hexdigest()


@pytest.fixture
def fleet(cluster, release, namespace, key):
    """The name of a fleet of sidecars, in a namespace that admits restricted pods only."""
    cluster.kubectl(
        "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"
    )
    objects = text(
        manifest(
            "GatewayConfig",
            namespace,
            "orders",
            mode="Sidecar",
            listeners=[{"name": "http", "port": LISTENER}],
        ),
        manifest(
            "Upstream",
            namespace,
            "local",
            type="Sidecar",
            targets=[{"host": "127.0.0.1", "port": 8000}],
        ),
        manifest(
            "Route",
            namespace,
            "local",
            gateways=["orders"],
            matches=[{"path": {"value": "/"}}],
            auth={"credentials": ["ApiKey"]},
            backends=[{"kind": "Upstream", "name": "local"}],
        ),
        manifest(
            "Route",
            namespace,
            "open",
            gateways=["orders"],
            matches=[{"path": {"value": f"/{namespace}"}}],
            auth={"mode": "None"},
            backends=[{"kind": "Upstream", "name": "local"}],
        ),
        manifest(
            "ApiKey",
            namespace,
            "client",
            hash=hashlib.sha256(key.encode()).hexdigest(),
            prefix="flc_service_",
            lastFour=key[-4:],
        ),
    )
    cluster.kubectl("apply", "-f", "-", stdin=objects)
    # the webhook refuses pods of a fleet that it does not know yet, and their owner tries again
    return f"{namespace}/orders"


@pytest.fixture
def orders(cluster, fleet, namespace):
    """Two pods with a sidecar each, and a Service of the sidecars' listener, port 8080."""
    echo(
        cluster,
        namespace,
        "orders",
        replicas=2,
        labels=ASKS,
        annotations={"gateway.fluxgate.io/gateway": fleet},
        container=ENDS_AT_ONCE,
        grace=20,
    )
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "orders-sidecar", "namespace": namespace},
        "spec": {
            "selector": {"app": "orders"},
            "ports": [{"name": "http", "port": 8000, "targetPort": LISTENER}],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(service))
    return "orders-sidecar"


def pods_of(cluster, namespace, app):
    found = cluster.kubectl("get", "pods", "-n", namespace, "-l", f"app={app}", "-o", "json")
    return [
        each for each in json.loads(found)["items"] if "deletionTimestamp" not in each["metadata"]
    ]


def test_a_marked_pod_is_reached_through_its_sidecar_and_only_with_a_key(
    cluster, namespace, orders, key
):
    pods = pods_of(cluster, namespace, "orders")
    assert len(pods) == 2
    for pod in pods:
        (sidecar,) = pod["spec"]["initContainers"]
        assert (sidecar["name"], sidecar["restartPolicy"]) == ("fluxgate-sidecar", "Always")
        assert pod["status"]["initContainerStatuses"][0]["ready"]
    names = {each["metadata"]["name"] for each in pods}
    with eventually("an endpoint", lambda: cluster.reach(namespace, orders, 8000)) as url:
        answer = httpx.get(f"{url}/cart", headers={"x-api-key": key})
        assert answer.status_code == 200, answer.text
        assert answer.json()["pod"] in names
        assert answer.json()["path"] == "/cart"
        assert httpx.get(f"{url}/cart").status_code == 401
        assert httpx.get(f"{url}/cart", headers={"x-api-key": key + "x"}).status_code == 401


def test_a_pod_that_does_not_ask_is_left_alone(cluster, fleet, namespace):
    echo(cluster, namespace, "plain", annotations={"gateway.fluxgate.io/gateway": fleet})
    (pod,) = pods_of(cluster, namespace, "plain")
    assert "initContainers" not in pod["spec"]
    assert [each["name"] for each in pod["spec"]["containers"]] == ["echo"]
    assert not any("xds" in each for each in pod["metadata"]["annotations"])


def test_rolling_pods_with_sidecars_loses_no_request(cluster, gateway, namespace, orders):
    """Clients come through the gateway, which follows the pods as they come and go.

    The gateway keeps a client's key to itself, so what it sends on needs none.
    """
    shared = route(namespace, "orders", f"/{namespace}", orders, gateways=["fluxgate"])
    cluster.kubectl("apply", "-f", "-", stdin=text(shared))
    url = f"{gateway}/{namespace}/cart"

    def served():
        answer = httpx.get(url)
        assert answer.status_code == 200, answer.text
        return True

    eventually("served", served)
    before = {each["metadata"]["name"] for each in pods_of(cluster, namespace, "orders")}
    with Load(url) as load:
        cluster.kubectl("rollout", "restart", "-n", namespace, "deployment/orders")
        cluster.kubectl("rollout", "status", "-n", namespace, "deployment/orders", "--timeout=180s")
        cluster.kubectl(
            "wait",
            "-n",
            namespace,
            "--for=delete",
            "--timeout=180s",
            *(f"pod/{each}" for each in before),
        )
        eventually("the load goes on", lambda: load.total > 200)
    assert load.failed == {}
    assert not before & {each["metadata"]["name"] for each in pods_of(cluster, namespace, "orders")}
