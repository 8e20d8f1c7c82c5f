"""Ingresses as a control plane takes them in, and the routes and words that become of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import Route
from fluxgate.ir import RouteTable
from fluxgate.resources import Endpoint, ObjectRef, ResourceStore, ServiceEndpoints
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.reference import Request, match, select_virtual_host
from fluxgate.translator import Translation, translate
from fluxgate_operator.ingress import Ingresses
from fluxgate_operator.ingress.problems import problems_of
from fluxgate_operator.kube.types import INGRESS_CLASSES, INGRESSES, SERVICES

CLASS = {
    "metadata": {"name": "ours"},
    "spec": {"controller": "gateway.fluxgate.io/ingress-controller"},
}


def path(value: str, service: str, type_: str = "Prefix", port: int | str = 80) -> dict[str, Any]:
    """One path of a rule; a port by number, or by name."""
    chosen = {"number": port} if isinstance(port, int) else {"name": port}
    return {
        "path": value,
        "pathType": type_,
        "backend": {"service": {"name": service, "port": chosen}},
    }


def rule(host: str, *paths: dict[str, Any]) -> dict[str, Any]:
    """A rule; an empty host is all hosts."""
    return {**({"host": host} if host else {}), "http": {"paths": list(paths)}}


def default(service: str, port: int = 80) -> dict[str, Any]:
    """A ``spec.defaultBackend``."""
    return {"service": {"name": service, "port": {"number": port}}}


def ingress(
    name: str,
    *rules: dict[str, Any],
    class_: str | None = "ours",
    annotations: Mapping[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> dict[str, Any]:
    """An Ingress in the namespace ``shop``."""
    named = {"ingressClassName": class_} if class_ else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-of-{name}",
            "generation": 1,
            "creationTimestamp": created,
            "annotations": dict(annotations or {}),
        },
        "spec": {**named, "rules": list(rules), **spec},
    }


class Shop:
    """A store with a GatewayConfig, fed with Ingresses, IngressClasses and Services."""

    def __init__(self, *, port: int = 8080, own_name: str = "fluxgate") -> None:
        self.store = ResourceStore()
        self.ingresses = Ingresses(self.store, own_name, structlog.get_logger())
        self._intakes = self.ingresses.intakes()
        self.gateway("main", port)
        self.put_class(CLASS)

    def gateway(self, name: str, port: int = 8080, **spec: Any) -> None:
        """A GatewayConfig in the namespace ``edge``."""
        listener = {"name": "http", "port": port, "address": "127.0.0.1"}
        self.store.upsert(
            parse_object(
                {
                    "apiVersion": "gateway.fluxgate.io/v1alpha1",
                    "kind": "GatewayConfig",
                    "metadata": {"name": name, "namespace": "edge"},
                    "spec": {"listeners": [listener], **spec},
                }
            )
        )
        self.ingresses.settle()

    def put_class(self, document: dict[str, Any]) -> None:
        """An IngressClass."""
        self._intakes[INGRESS_CLASSES].put(document)

    def drop_class(self, name: str) -> None:
        """An IngressClass goes."""
        self._intakes[INGRESS_CLASSES].drop("", name)

    def service(self, name: str, *ports: int, endpoint: int = 9, **spec: Any) -> None:
        """A Service with these ports (named ``port-<number>``), and one endpoint."""
        numbers = ports or (80,)
        listed = [{"name": f"port-{each}", "port": each} for each in numbers]
        meta = {"name": name, "namespace": "shop"}
        self._intakes[SERVICES].put({"metadata": meta, "spec": {"ports": listed, **spec}})
        ready = (Endpoint("127.0.0.1", endpoint),)
        self.store.upsert(ServiceEndpoints("shop", name, dict.fromkeys(numbers, ready)))

    def put(self, *documents: dict[str, Any]) -> None:
        """Ingresses come or change."""
        for each in documents:
            self._intakes[INGRESSES].put(each)

    def drop(self, name: str) -> None:
        """An Ingress goes."""
        self._intakes[INGRESSES].drop("shop", name)

    def translated(self) -> Translation:
        """What everything amounts to."""
        return translate(self.store.freeze())

    def names(self) -> set[str]:
        """The names of the Routes in the store."""
        return {ref.name for ref in self.store.freeze().routes}

    def table(self, gateway: str = "edge/main") -> RouteTable:
        """The one route table of a gateway."""
        (table,) = self.translated().gateways[gateway].route_tables
        return table

    def answers(self, url: str, gateway: str = "edge/main") -> str:
        """The Service a request goes to; empty for nowhere, ``502`` for a route without one."""
        host, slash, rest = url.partition("/")
        normal = normalise_path(slash + rest)
        assert normal is not None
        found = select_virtual_host(table := self.table(gateway), host)
        assert table is not None
        if found is None:
            return ""
        taken = match(found.routes, Request("GET", host, normal))
        if taken is None:
            return ""
        route = self.store.get(taken.origin)
        assert isinstance(route, Route)
        return route.spec.backends[0].name if route.spec.backends else "502"

    def problems(self, name: str) -> tuple[str, ...]:
        """What is told to whoever wrote an Ingress."""
        resources = self.store.freeze()
        ours = self.ingresses.ours()[ObjectRef("Ingress", "shop", name)]
        return problems_of(ours, resources, translate(resources).statuses)
