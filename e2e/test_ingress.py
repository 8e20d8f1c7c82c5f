"""Ingresses of our class, served by the chart's gateway."""

import json
import ssl
import subprocess

import httpx
import pytest

from e2e.application import echo
from e2e.manifests import text
from e2e.waiting import eventually

HOST = "shop.example.com"
HTTPS = 8443


def ingress(namespace, name, **spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ingressClassName": "fluxgate", **spec},
    }


def backend(service):
    return {"service": {"name": service, "port": {"number": 8000}}}


def rule(host, path, service):
    paths = [{"path": path, "pathType": "Prefix", "backend": backend(service)}]
    return {"host": host, "http": {"paths": paths}}


def applied(cluster, *objects):
    cluster.kubectl("apply", "-f", "-", stdin=text(*objects))


def asked(gateway, host, path):
    return httpx.get(f"{gateway}{path}", headers={"host": host})


def test_an_ingress_of_the_class_is_served_with_its_default_backend(cluster, gateway, namespace):
    echo(cluster, namespace, "shop")
    echo(cluster, namespace, "rest")
    host = f"{namespace}.example.com"
    rules = [rule(host, "/cart", "shop")]
    applied(cluster, ingress(namespace, "shop", rules=rules, defaultBackend=backend("rest")))

    eventually("served", lambda: asked(gateway, host, "/cart/1").status_code == 200)
    assert asked(gateway, host, "/cart/1").json()["pod"].startswith("shop-")
    assert asked(gateway, host, "/else").json()["pod"].startswith("rest-")

    cluster.kubectl("delete", "ingress", "-n", namespace, "shop")
    eventually("gone", lambda: asked(gateway, host, "/cart/1").status_code == 404)


def test_an_ingress_of_another_class_is_not_served(cluster, gateway, namespace):
    echo(cluster, namespace, "shop")
    host = f"{namespace}.example.com"
    rules = [rule(host, "/", "shop")]
    theirs = ingress(namespace, "theirs", rules=rules, ingressClassName="somebodys")
    applied(cluster, theirs, ingress(namespace, "ours", rules=[rule(f"a.{host}", "/", "shop")]))

    eventually("ours is served", lambda: asked(gateway, f"a.{host}", "/").status_code == 200)
    assert asked(gateway, host, "/").status_code == 404


def test_what_of_an_ingress_cannot_be_served_is_an_event(cluster, release, namespace):
    host = f"{namespace}.example.com"
    applied(cluster, ingress(namespace, "lost", rules=[rule(host, "/", "nobody")]))

    def told():
        events = cluster.kubectl("get", "events.events.k8s.io", "-n", namespace, "-o", "json")
        return [each for each in json.loads(events)["items"] if each["regarding"]["name"] == "lost"]

    (event,) = eventually("the Event", told)
    assert "nobody" in event["note"]
    assert "spec.rules[0]" in event["note"]

    restart = ("-n", release.namespace, "deployment/fluxgate-controller")
    cluster.kubectl("rollout", "restart", *restart)
    cluster.kubectl("rollout", "status", *restart, "--timeout=180s")
    (again,) = eventually("told by the next leader", lambda: [e for e in told() if "series" in e])
    assert again["metadata"]["uid"] == event["metadata"]["uid"]


def test_the_status_says_where_the_gateway_is_reached(cluster, release, gateway, namespace):
    config = ("gatewayconfigs.gateway.fluxgate.io", "-n", release.namespace, release.name)
    patch = ("patch", *config, "--type=merge", "-p")
    echo(cluster, namespace, "shop")
    applied(
        cluster, ingress(namespace, "shop", rules=[rule(f"{namespace}.example.com", "/", "shop")])
    )
    cluster.kubectl(*patch, '{"spec": {"exposure": {"kind": "LoadBalancer"}}}')
    try:
        where = ("service", "-n", release.namespace, f"fluxgate-{release.name}-external")
        eventually("the Service", lambda: cluster.kubectl("get", *where))
        status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.20"}]}}}
        cluster.kubectl(
            *("patch", *where, "--subresource=status", "--type=merge", "-p", json.dumps(status))
        )

        def balancer():
            got = cluster.kubectl("get", "ingress", "-n", namespace, "shop", "-o", "json")
            return json.loads(got)["status"]["loadBalancer"].get("ingress")

        assert eventually("the address", balancer)[0]["ip"] == "192.0.2.20"
    finally:
        cluster.kubectl(*patch, '{"spec": {"exposure": null}}')


def pair(cluster, namespace, name, host, folder):
    """A Secret with a certificate for ``host``; returns the file to trust it by."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    where = ("-n", namespace, f"--cert={certificate}", f"--key={key}")
    cluster.kubectl("create", "secret", "tls", name, *where)
    return certificate


@pytest.fixture
def https(cluster, release, tmp_path):
    """The release's gateway with an HTTPS listener and a certificate of its own."""
    pair(cluster, release.namespace, "gateway-tls", "gateway.example.com", tmp_path)
    listeners = [
        {"name": "http", "port": 8080, "protocol": "HTTP"},
        {
            "name": "https",
            "port": HTTPS,
            "protocol": "HTTPS",
            "tls": {"certificateRefs": [{"name": "gateway-tls"}]},
        },
    ]
    name = ("gatewayconfigs.gateway.fluxgate.io", "-n", release.namespace, release.name)
    before = json.loads(cluster.kubectl("get", *name, "-o", "json"))["spec"]["listeners"]
    spec = json.dumps({"spec": {"listeners": listeners}})
    cluster.kubectl("patch", *name, "--type=merge", "-p", spec)
    yield
    spec = json.dumps({"spec": {"listeners": before}})
    cluster.kubectl("patch", *name, "--type=merge", "-p", spec)
    cluster.kubectl("delete", "secret", "-n", release.namespace, "gateway-tls")


def test_its_hosts_are_served_with_the_certificate_of_its_secret(
    cluster, gateway, namespace, https, tmp_path
):
    echo(cluster, namespace, "shop")
    certificate = pair(cluster, namespace, "shop-tls", HOST, tmp_path)
    tls = [{"hosts": [HOST], "secretName": "shop-tls"}]
    applied(cluster, ingress(namespace, "shop", rules=[rule(HOST, "/", "shop")], tls=tls))
    address = gateway.removeprefix("http://").partition(":")[0]
    trusted = ssl.create_default_context(cafile=str(certificate))

    def served():
        with httpx.Client(verify=trusted, headers={"host": HOST}) as client:
            asked = client.get(f"https://{address}:{HTTPS}/", extensions={"sni_hostname": HOST})
        return asked.status_code == 200 and asked.json()["pod"].startswith("shop-")

    eventually("by HTTPS", served)
