"""Where an object is reached, and whether the cluster has taken it up, read from its status."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluxgate_operator.kube.client import Document


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """``type`` is IPAddress, Hostname or NodePort; ``value`` an address, a host or a port."""

    type: str
    value: str


def addresses_of(document: Document) -> tuple[Address, ...]:
    """The addresses an object's status names; none of a Service of type ClusterIP."""
    return tuple(dict.fromkeys(_addresses(document)))


def admitted(document: Document) -> bool:
    """Whether the object leads anywhere yet, as far as its status tells.

    A Service of type LoadBalancer and an Ingress have an address (core/v1 LoadBalancerStatus,
    networking.k8s.io/v1 IngressStatus), a Route was admitted by a router (route.openshift.io/v1
    RouteIngressCondition ``Admitted``); any other Service works as soon as it exists.
    """
    match document.get("kind"):
        case "Route":
            return any(_admitting(document))
        case "Service" if (document.get("spec") or {}).get("type") != "LoadBalancer":
            return True
        case _:
            return bool(_balancer(document))


def _addresses(document: Document) -> Iterator[Address]:
    if document.get("kind") == "Route":
        for router in _admitting(document):
            name = router.get("routerCanonicalHostname") or router.get("host")
            if name:
                yield Address("Hostname", name)
        return
    spec = document.get("spec") or {}
    if document.get("kind") == "Service" and spec.get("type") == "NodePort":
        for port in spec.get("ports") or ():
            if port.get("nodePort"):
                yield Address("NodePort", str(port["nodePort"]))
        return
    for each in _balancer(document):
        if each.get("ip"):
            yield Address("IPAddress", each["ip"])
        elif each.get("hostname"):
            yield Address("Hostname", each["hostname"])


def _balancer(document: Document) -> list[Document]:
    status = document.get("status") or {}
    return (status.get("loadBalancer") or {}).get("ingress") or []


def _admitting(document: Document) -> Iterator[Document]:
    for router in (document.get("status") or {}).get("ingress") or ():
        conditions = router.get("conditions") or ()
        if any(
            each.get("type") == "Admitted" and each.get("status") == "True" for each in conditions
        ):
            yield router
