"""Documents of the tests here."""

from __future__ import annotations

import base64


def upstream(name: str, host: str = "192.0.2.1") -> dict:
    """An Upstream of one target."""
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Upstream",
        "metadata": {"name": name},
        "spec": {"targets": [{"host": host, "port": 80}]},
    }


def backend(name: str, service: str, tls: str = "") -> dict:
    """A Backend of a Service's port 80; ``tls`` names the Secret of its CA."""
    spec: dict = {"service": {"name": service, "port": 80}}
    if tls:
        spec["tls"] = {"caCertificateRef": {"name": tls}}
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name},
        "spec": spec,
    }


def service(name: str) -> dict:
    """A Service with port 80."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
    }


def slice_(name: str, service_name: str, *addresses: str) -> dict:
    """An EndpointSlice of ready addresses, port 8080."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service_name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": [{"addresses": [each]} for each in addresses],
    }


def secret(name: str, value: bytes) -> dict:
    """A Secret with ca.crt."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {"ca.crt": base64.b64encode(value).decode()},
    }
