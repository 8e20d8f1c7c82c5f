"""Services in front of a fleet."""

from __future__ import annotations

from typing import Any

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.listener import Listener
from fluxgate_operator.exposure.marks import FLEET, fitted, label_value, object_name
from fluxgate_operator.kube.client import Document

_PORT_NAME_LENGTH = 63


def inner_service(config: GatewayConfig) -> Document:
    """A Service of type ClusterIP: what an Ingress or an OpenShift Route leads to."""
    return _service(config, object_name(config), {"type": "ClusterIP"})


def outer_service(config: GatewayConfig) -> Document:
    """A Service of type LoadBalancer or NodePort.

    One name for both: a node port can only be held by one Service, and changing the type of one
    in place keeps its ports. Not the name of the inner Service, so that the two can stand
    side by side while the kind changes.
    """
    exposure = config.spec.exposure
    spec: dict[str, Any] = {
        "type": exposure.kind,
        "externalTrafficPolicy": exposure.external_traffic_policy,
    }
    if exposure.kind == "LoadBalancer" and exposure.class_name:
        spec["loadBalancerClass"] = exposure.class_name
    return _service(
        config, object_name(config, "-external"), spec, dict(exposure.annotations), outside=True
    )


def service_name(config: GatewayConfig) -> str:
    """The Service that an Ingress or an OpenShift Route leads to: the user's, or ours."""
    return config.spec.exposure.service_name or object_name(config)


def service_port(config: GatewayConfig, listener: Listener) -> int:
    """The port of the Service that leads to a listener."""
    named = (each for each in config.spec.exposure.ports if each.listener == listener.name)
    chosen = next(named, None)
    return chosen.port if chosen and chosen.port else listener.port


def port_name(listener: Listener) -> str:
    """A listener's name as the name of a port (a DNS label)."""
    return fitted(listener.name.replace(".", "-"), _PORT_NAME_LENGTH)


def _service(
    config: GatewayConfig,
    name: str,
    spec: dict[str, Any],
    annotations: dict[str, str] | None = None,
    *,
    outside: bool = False,
) -> Document:
    """A selector is needed even if the fleet has not started: a Service selects what comes."""
    selector = dict(config.spec.exposure.selector) or {FLEET: label_value(config.metadata.name)}
    ports = _ports(config, outside=outside)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {**spec, "selector": selector, "ports": ports},
    }


def _ports(config: GatewayConfig, *, outside: bool) -> list[dict[str, Any]]:
    """One port for every listener; of two listeners with one port the first stands for both.

    Outside, a listener with HTTP/3 has a second one for UDP, with the number clients are told.
    """
    node_ports = {each.listener: each.node_port for each in config.spec.exposure.ports}
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for listener in config.spec.listeners:
        port = service_port(config, listener)
        entry: dict[str, Any] = {
            "name": port_name(listener),
            "port": port,
            "protocol": "TCP",
            "targetPort": listener.port,
        }
        if outside and (node_port := node_ports.get(listener.name)):
            entry["nodePort"] = node_port
        found.setdefault((port, "TCP"), entry)
        if outside and listener.http3:
            udp = listener.http3_port or port
            name = fitted(f"{port_name(listener)}-quic", _PORT_NAME_LENGTH)
            quic = {**entry, "name": name, "port": udp, "protocol": "UDP"}
            found.setdefault((udp, "UDP"), quic)
    return list(found.values())
