"""Ingresses of a real API server: served, told about by Events, and given an address.

The API server takes no loopback address for an endpoint, so the Services here have none: a
request that a rule takes is answered by 503, any other by 404. Where requests arrive is proven in
``tests/envoy/test_ingress.py``.
"""

from __future__ import annotations

import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509
from support.certificates import Authority
from support.client import request
from support.cluster import ControlPlane
from support.controller import controller, envoy_of
from support.envoy import eventually
from support.ports import free_port

pytestmark = pytest.mark.envoy

CONTROLLER = "gateway.fluxgate.io/ingress-controller"
TAKEN, NOT_TAKEN = 503, 404


class Shop:
    """A namespace with a gateway, a Service and an IngressClass of its own."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.namespace = namespace
        self.class_ = f"class-of-{namespace}"
        self.port, self.tls_port = free_port(), free_port()
        self.options = ("--ingress-class", self.class_)

    @property
    def key(self) -> str:
        """What the gateway's Envoys call themselves."""
        return f"{self.namespace}/main"

    def run(self, *args: str, stdin: str = "") -> str:
        """``kubectl`` in the namespace."""
        return self.plane.kubectl("-n", self.namespace, *args, stdin=stdin)

    def apply(self, *documents: dict[str, Any]) -> None:
        """``kubectl apply`` in the namespace."""
        self.run("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def open(self) -> None:
        """Everything but Ingresses."""
        pair = Authority().issue("listener.example.com")
        self.secret("site-tls", pair.certificate, pair.key)
        https = {
            "name": "https",
            "port": self.tls_port,
            "address": "127.0.0.1",
            "protocol": "HTTPS",
            "tls": {"certificateRefs": [{"name": "site-tls"}]},
        }
        self.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": {"name": self.class_},
                "spec": {"controller": CONTROLLER},
            },
            {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": "GatewayConfig",
                "metadata": {"name": "main"},
                "spec": {
                    "listeners": [
                        {"name": "http", "port": self.port, "address": "127.0.0.1"},
                        https,
                    ],
                    "exposure": {"kind": "LoadBalancer"},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web"},
                "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "web"}},
            },
        )

    def secret(self, name: str, certificate: bytes, key: bytes) -> None:
        """A Secret of type kubernetes.io/tls."""
        data = {"tls.crt": certificate, "tls.key": key}
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "type": "kubernetes.io/tls",
                "data": {field: b64encode(value).decode() for field, value in data.items()},
            }
        )

    def ingress(
        self, name: str, host: str, path: str = "/", service: str = "web", **spec: Any
    ) -> None:
        """Apply an Ingress of our class with one rule."""
        backend = {"service": {"name": service, "port": {"name": "http"}}}
        paths = [{"path": path, "pathType": "Prefix", "backend": backend}]
        self.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": name},
                "spec": {
                    "ingressClassName": self.class_,
                    "rules": [{"host": host, "http": {"paths": paths}}],
                    **spec,
                },
            }
        )

    def status(self, host: str, path: str = "/") -> int:
        """The status of an answer; 0 without one."""
        try:
            return request(self.port, path, headers=[("host", host)]).status
        except OSError:
            return 0

    def until(self, host: str, path: str, status: int) -> None:
        """Wait for an answer."""
        eventually(lambda: self.status(host, path) == status, what=f"{status} for {host}{path}")

    def presented(self, name: str) -> str:
        """The common name of the certificate that a client gets that asks for ``name`` (SNI)."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.tls_port), timeout=60) as raw,
            context.wrap_socket(raw, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
        assert shown is not None
        subject = x509.load_der_x509_certificate(shown).subject
        return str(next(iter(subject)).value)

    def shown(self, name: str) -> dict[str, Any]:
        """An Ingress as it is stored."""
        found: dict[str, Any] = json.loads(self.run("get", "ingress", name, "-o", "json"))
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """The Events about an Ingress."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        items = self.plane.request("GET", path)["items"]
        return [each for each in items if each["regarding"]["name"] == name]

    def writes(self, resource: str, name: str = "") -> list[str]:
        """The verbs of the writes of a resource in the namespace by the controller."""
        found = []
        for each in self.plane.audit_events():
            ref = each.get("objectRef") or {}
            if each["verb"] in ("get", "list", "watch") or ref.get("resource") != resource:
                continue
            if ref.get("namespace") != self.namespace or "kubectl" in each["userAgent"]:
                continue
            if not name or ref.get("name") == name:
                found.append(f"{each['verb']} {ref.get('subresource', '')}".strip())
        return found


@pytest.fixture
def shop(control_plane: ControlPlane, namespace: str) -> Iterator[Shop]:
    """A shop that is open; no controller runs."""
    found = Shop(control_plane, namespace)
    found.open()
    yield found
    found.run("delete", "services,ingresses", "--all", "--wait=false")
    control_plane.kubectl("delete", "ingressclass", found.class_)


def running(shop: Shop, *options: str) -> Any:
    """The controller for a shop."""
    return controller(shop.plane.kubeconfig, shop.namespace, *shop.options, *options)


def test_an_ingress_is_served_with_its_certificate_and_told_its_address(shop: Shop) -> None:
    with running(shop) as replica, envoy_of(shop.key, replica):
        pair = Authority().issue("shop.example.com")
        shop.secret("shop-tls", pair.certificate, pair.key)
        shop.ingress("a", "shop.example.com", tls=[{"secretName": "shop-tls"}])
        shop.ingress("foreign", "foreign.example.com", ingressClassName="theirs")
        shop.until("shop.example.com", "/x", TAKEN)
        assert shop.status("other.example.com") == NOT_TAKEN
        assert shop.status("foreign.example.com") == NOT_TAKEN
        eventually(
            lambda: shop.presented("shop.example.com") == "shop.example.com",
            what="the certificate of the Ingress",
        )
        assert shop.presented("other.example.com") == "listener.example.com"

        eventually(
            lambda: "fluxgate-main-external" in shop.run("get", "services", "-o", "name"),
            what="the load balancer",
        )
        balancer = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
        shop.run(
            *("patch", "service", "fluxgate-main-external", "--subresource=status"),
            *("--type=merge", "-p", json.dumps(balancer)),
        )
        eventually(
            lambda: shop.shown("a")["status"]["loadBalancer"] == {"ingress": [{"ip": "192.0.2.9"}]},
            what="the address of the Ingress",
        )
        assert shop.events("a") == []
        assert shop.shown("a")["metadata"]["generation"] == 1

        shop.run("delete", "ingress", "a")
        shop.until("shop.example.com", "/x", NOT_TAKEN)
        eventually(
            lambda: shop.presented("shop.example.com") == "listener.example.com",
            what="the certificate goes with the Ingress",
        )
    # one write of its address, and of the foreign one none at all
    eventually(lambda: shop.writes("ingresses", "a"), what="the audit log")
    assert shop.writes("ingresses", "a") == ["patch status"]
    assert shop.writes("ingresses", "foreign") == []


def test_a_problem_is_one_event_however_often_it_is_looked_at(shop: Shop) -> None:
    shop.ingress("old", "a.example.com", "/x")
    shop.ingress("young", "b.example.com", service="gone")
    with running(shop):
        eventually(lambda: shop.events("young"), what="the Event")
        (event,) = shop.events("young")
        assert event["note"].startswith(
            f"spec.rules[0].http.paths[0]: Service {shop.namespace}/gone does not exist"
        )
        assert (event["type"], event["reason"]) == ("Warning", "NotServed")
        assert "gone does not exist" in shop.run("describe", "ingress", "young")
        # every change is another look
        for number in range(3):
            shop.ingress(f"more-{number}", f"m{number}.example.com")
        shop.ingress("last", "c.example.com", service="gone-too")
        eventually(lambda: shop.events("last"), what="a look after all changes")
        assert len(shop.events("young")) == 1
        assert shop.events("old") == []
    eventually(lambda: len(shop.writes("events")) >= 2, what="the audit log")
    assert shop.writes("events") == ["create", "create"]


def test_what_changed_while_no_controller_ran_is_served_and_told(shop: Shop) -> None:
    shop.ingress("a", "a.example.com", "/before")
    shop.ingress("b", "b.example.com")
    with running(shop) as first, envoy_of(shop.key, first):
        shop.until("a.example.com", "/before", TAKEN)
        shop.until("b.example.com", "/", TAKEN)
        assert first.terminate() == 0
        shop.ingress("a", "a.example.com", "/after")
        shop.run("delete", "ingress", "b")
        assert shop.status("a.example.com", "/before") == TAKEN  # Envoy serves what it has
        with running(shop, "--xds-port", str(first.xds_port)):
            shop.until("a.example.com", "/after", TAKEN)
            assert shop.status("a.example.com", "/before") == NOT_TAKEN
            assert shop.status("b.example.com") == NOT_TAKEN
