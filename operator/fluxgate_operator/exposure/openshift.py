"""A fleet behind OpenShift's router (route.openshift.io/v1 Route).

A Route has one host, a name of at most 63 characters, and says where TLS ends:

- a certificate of the exposure: ``edge`` (plain HTTP to the fleet), or ``reencrypt`` when the host is
  served by an HTTPS listener only. The certificate is referred to, not copied: ``externalCertificate``
  (OpenShift 4.16 and later; the router's account needs to read that Secret).
- none, and an HTTPS listener serves the host: ``passthrough``, the fleet's own certificate.
- neither: no TLS.

With TLS, plain requests are redirected (``insecureEdgeTerminationPolicy: Redirect``). ``*.host`` becomes
``wildcardPolicy: Subdomain``, which takes one label, and the router has to allow it
(``routeAdmission.wildcardPolicy: WildcardsAllowed``). For all hosts there is no Route but
one whose host the router chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluxgate.api.v1alpha1 import GatewayConfig, duration_ms
from fluxgate.api.v1alpha1.listener import Listener
from fluxgate.routing.hosts import ANY
from fluxgate_operator.exposure.hosts import Way
from fluxgate_operator.exposure.marks import digest, fitted, object_name
from fluxgate_operator.exposure.service import service_name
from fluxgate_operator.exposure.streaming import openshift
from fluxgate_operator.kube.client import Document

_NAME_LENGTH = 63
_ANY_LABEL = "wildcard"


def routes(config: GatewayConfig, ways: Iterable[Way]) -> tuple[Document, ...]:
    """One Route for every host."""
    return tuple(_route(config, way) for way in ways)


def _route(config: GatewayConfig, way: Way) -> Document:
    exposure = config.spec.exposure
    tls, listener = _tls(config, way)
    spec: dict[str, Any] = {
        "to": {"kind": "Service", "name": service_name(config), "weight": 100},
        # a number is one of the endpoints, whatever the ports of the Service are called
        "port": {"targetPort": listener.port},
        "wildcardPolicy": "Subdomain" if way.host.startswith("*.") else "None",
    }
    if way.host != ANY:
        spec["host"] = way.host.replace("*", _ANY_LABEL, 1)
    if tls:
        spec["tls"] = tls
    seconds = max(duration_ms(exposure.stream_timeout) // 1000, 1)
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": {
            "name": route_name(config, way.host),
            "annotations": {**openshift(seconds), **exposure.annotations},
        },
        "spec": spec,
    }


def route_name(config: GatewayConfig, host: str) -> str:
    """Readable where it fits, and different for every host in any case."""
    shown = "any" if host == ANY else host.replace("*", _ANY_LABEL, 1).replace(".", "-")
    suffix = f"-{digest(host, 8)}"
    return fitted(f"{object_name(config)}-{shown}", _NAME_LENGTH - len(suffix)) + suffix


def _tls(config: GatewayConfig, way: Way) -> tuple[dict[str, Any] | None, Listener]:
    """The ``spec.tls`` of a Route, and the listener it leads to."""
    certificate = config.spec.exposure.tls_secret_ref
    redirect = {"insecureEdgeTerminationPolicy": "Redirect"}
    if certificate is not None:
        external = {"externalCertificate": {"name": certificate.name}}
        if way.plain is not None:
            return {"termination": "edge", **redirect, **external}, way.plain
        assert way.secure is not None
        return {"termination": "reencrypt", **redirect, **external}, way.secure
    if way.secure is not None:
        return {"termination": "passthrough", **redirect}, way.secure
    assert way.plain is not None
    return None, way.plain
