"""A fleet's way in: made, told in the status, and exchanged for another kind without a gap."""

import json

import pytest
from support.load import Load

from e2e.application import echo
from e2e.manifests import manifest, route, text
from e2e.waiting import eventually

CONFIG = "gatewayconfigs.gateway.fluxgate.io"
KINDS = "services,ingresses.networking.k8s.io,routes.route.openshift.io"
OPENSHIFT = "route.openshift.io"
MADE = "gateway.fluxgate.io/exposure"


@pytest.fixture(scope="module")
def openshift(cluster):
    """A definition that stands in for OpenShift's Route; gone with the module."""
    open_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": open_schema, "status": open_schema},
            }
        },
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"routes.{OPENSHIFT}"},
        "spec": {
            "group": OPENSHIFT,
            "names": {"kind": "Route", "plural": "routes", "singular": "route"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/routes.{OPENSHIFT}")
    yield
    cluster.kubectl("delete", "crd", f"routes.{OPENSHIFT}")


@pytest.fixture
def fleet(cluster, release, gateway, namespace, openshift):
    """The release's GatewayConfig with a route of one host; exposed as nothing again at the end.

    The chart gives the rights for OpenShift's kind where there is one: the release is upgraded.
    """
    upgrade(cluster, release)
    echo(cluster, namespace, "shop")
    shop = route(namespace, "shop", f"/{namespace}", "shop", hosts=["shop.example.com"])
    cluster.kubectl("apply", "-f", "-", stdin=text(shop))
    yield release
    expose(cluster, release, kind="None")
    eventually("no way in", lambda: made(cluster, release) == {})


def upgrade(cluster, release):
    chart = "charts/fluxgate"
    arguments = ("-n", release.namespace, "-f", str(release.values), "--wait", "--timeout=180s")
    cluster.helm("upgrade", release.name, chart, *arguments)


def expose(cluster, release, **exposure):
    """In one step, and as a whole: nothing of the kind before may stay."""
    patch = [{"op": "add", "path": "/spec/exposure", "value": exposure}]
    where = ("-n", release.namespace, CONFIG, release.name)
    cluster.kubectl("patch", *where, "--type=json", "-p", json.dumps(patch))


def made(cluster, release):
    """What the controller made for the fleet, by kind (a Service by its type)."""
    listed = cluster.kubectl("get", KINDS, "-n", release.namespace, "-l", MADE, "-o", "json")
    return {each["spec"].get("type") or each["kind"]: each for each in json.loads(listed)["items"]}


def hosts(cluster, release):
    """Of the Ingress; a rule of a catch-all has none."""
    return [each.get("host") for each in made(cluster, release)["Ingress"]["spec"]["rules"]]


def addresses(cluster, release):
    found = json.loads(
        cluster.kubectl("get", CONFIG, "-n", release.namespace, release.name, "-o", "json")
    )
    return [(each["type"], each["value"]) for each in found["status"].get("addresses") or ()]


def admit(cluster, document, status):
    """What the cluster's own controller of such an object would write."""
    meta = document["metadata"]
    plurals = ("services", "ingresses.networking.k8s.io", f"routes.{OPENSHIFT}")
    name = dict(zip(("Service", "Ingress", "Route"), plurals, strict=True))[document["kind"]]
    cluster.kubectl(
        *("patch", name, "-n", meta["namespace"], meta["name"]),
        *("--subresource=status", "--type=merge", "-p", json.dumps({"status": status})),
    )


def until_made(cluster, release, *kinds):
    return eventually(
        f"exactly {kinds}",
        lambda: (found := made(cluster, release)).keys() == set(kinds) and found,
    )


def test_the_kind_of_exposure_changes_and_the_old_way_in_goes_after_the_new_one_is_there(
    cluster, fleet, gateway, namespace
):
    url, host = f"{gateway}/{namespace}", {"host": "shop.example.com"}
    with Load(url, host) as load:
        expose(cluster, fleet, kind="LoadBalancer")
        balancer = until_made(cluster, fleet, "LoadBalancer")["LoadBalancer"]
        owner = balancer["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"]) == ("GatewayConfig", fleet.name)
        admit(cluster, balancer, {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}})
        eventually(
            "its address", lambda: addresses(cluster, fleet) == [("IPAddress", "192.0.2.10")]
        )

        expose(cluster, fleet, kind="Ingress", className="somebodys")
        found = until_made(cluster, fleet, "LoadBalancer", "ClusterIP", "Ingress")
        eventually("its one host", lambda: hosts(cluster, fleet) == ["shop.example.com"])
        admit(
            cluster, found["Ingress"], {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}
        )
        until_made(cluster, fleet, "ClusterIP", "Ingress")
        eventually(
            "the new address", lambda: addresses(cluster, fleet) == [("Hostname", "lb.example")]
        )

        expose(cluster, fleet, kind="OpenShiftRoute")
        found = until_made(cluster, fleet, "ClusterIP", "Ingress", "Route")
        assert found["Route"]["spec"]["host"] == "shop.example.com"
        router = {
            "host": "shop.example.com",
            "routerCanonicalHostname": "apps.example.com",
            "conditions": [{"type": "Admitted", "status": "True"}],
        }
        admit(cluster, found["Route"], {"ingress": [router]})
        until_made(cluster, fleet, "ClusterIP", "Route")
        eventually(
            "the router", lambda: addresses(cluster, fleet) == [("Hostname", "apps.example.com")]
        )

        expose(cluster, fleet, kind="NodePort")
        port = until_made(cluster, fleet, "NodePort")["NodePort"]["spec"]["ports"][0]["nodePort"]
        eventually("its port", lambda: addresses(cluster, fleet) == [("NodePort", str(port))])
        eventually("the load goes on", lambda: load.total > 100)
    assert load.failed == {}


def test_a_way_in_that_somebody_deletes_is_made_again(cluster, fleet):
    expose(cluster, fleet, kind="NodePort")
    first = until_made(cluster, fleet, "NodePort")["NodePort"]["metadata"]
    cluster.kubectl("delete", "service", "-n", fleet.namespace, first["name"])
    eventually(
        "another one",
        lambda: made(cluster, fleet)["NodePort"]["metadata"]["uid"] != first["uid"],
    )


def test_a_way_in_outlives_a_gateway_config_that_is_refused_and_goes_with_its_deletion(
    cluster, release, namespace
):
    own = manifest(
        "GatewayConfig",
        namespace,
        "own",
        listeners=[{"name": "http", "port": 8080}],
        exposure={"kind": "NodePort"},
    )
    cluster.kubectl("apply", "-f", "-", stdin=text(own))
    where = ("-n", namespace, CONFIG, "own")
    eventually("its Service", lambda: services(cluster, namespace))
    (before,) = services(cluster, namespace)

    # while no controller runs nobody says no to it
    controller = ("-n", release.namespace, "deployment/fluxgate-controller")
    cluster.kubectl("scale", *controller, "--replicas=0")
    cluster.kubectl("rollout", "status", *controller, "--timeout=180s")
    wrong = [{"op": "add", "path": "/spec/listeners/0/address", "value": "999.1.1.1"}]
    patch = ("patch", *where, "--type=json", "-p", json.dumps(wrong))
    eventually("stored", lambda: cluster.kubectl(*patch))
    cluster.kubectl("scale", *controller, "--replicas=2")
    cluster.kubectl("rollout", "status", *controller, "--timeout=180s")
    cluster.kubectl("wait", *where, "--for=condition=Accepted=False", "--timeout=180s")
    assert services(cluster, namespace) == [before]

    cluster.kubectl("delete", *where)
    eventually("nothing", lambda: services(cluster, namespace) == [])


def services(cluster, namespace):
    listed = cluster.kubectl("get", "services", "-n", namespace, "-l", MADE, "-o", "json")
    return [each["metadata"]["uid"] for each in json.loads(listed)["items"]]
