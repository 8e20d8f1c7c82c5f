"""Services and EndpointSlices, reduced to what endpoints are made of. Pure functions.

core/v1 Service; discovery.k8s.io/v1 EndpointSlice; KEP-1669 for endpoints that terminate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fluxgate.resources import Endpoint, ServiceEndpoints

SERVICE_NAME = "kubernetes.io/service-name"
"""The label by which an EndpointSlice says whose it is."""

_FAMILIES = ("IPv4", "IPv6")


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """Of a Service: its ports by number with their names, and the families it prefers."""

    ports: tuple[tuple[int, str], ...]
    families: tuple[str, ...] = ()
    external_name: str = ""


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One endpoint of a slice. ``ready`` and ``serving`` as its conditions say."""

    addresses: tuple[str, ...]
    ready: bool
    serving: bool
    zone: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Of an EndpointSlice: its family, its ports by name, and its endpoints."""

    family: str
    ports: tuple[tuple[str, int], ...]
    endpoints: tuple[SliceEndpoint, ...]


def read_service(document: Mapping[str, Any]) -> ServiceSpec:
    """What a Service says; only TCP ports count, because Envoy's clusters are TCP."""
    spec = document.get("spec") or {}
    ports = tuple(
        (each["port"], each.get("name") or "")
        for each in spec.get("ports") or ()
        if each.get("protocol", "TCP") == "TCP"
    )
    external = spec.get("externalName") or "" if spec.get("type") == "ExternalName" else ""
    return ServiceSpec(ports, tuple(spec.get("ipFamilies") or ()), external)


def read_slice(document: Mapping[str, Any]) -> Slice:
    """What an EndpointSlice says.

    A condition that is not there counts as its API says: ``ready`` as true, ``serving`` as
    ``ready``.
    """
    ports = tuple(
        (each.get("name") or "", each["port"])
        for each in document.get("ports") or ()
        if each.get("port") and (each.get("protocol") or "TCP") == "TCP"
    )
    endpoints = tuple(map(_endpoint, document.get("endpoints") or ()))
    return Slice(document.get("addressType", ""), ports, endpoints)


def _endpoint(given: Mapping[str, Any]) -> SliceEndpoint:
    conditions = given.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    return SliceEndpoint(
        tuple(given.get("addresses") or ()),
        ready,
        ready if serving is None else bool(serving),
        given.get("zone") or "",
    )


def resolve(
    namespace: str, name: str, service: ServiceSpec, slices: Iterable[Slice]
) -> ServiceEndpoints:
    """The endpoints of every port of a Service.

    One address family is used, the first of the Service's ``ipFamilies`` that has endpoints:
    a dual-stack pod is one endpoint, not two. When no endpoint is ready, those that terminate
    but still serve are used, as kube-proxy does (KEP-1669). An endpoint counts once, however
    many slices hold it. An ExternalName has no endpoints, and says so.
    """
    if service.external_name:
        note = f"is an ExternalName; use a Backend with url https://{service.external_name}"
        return ServiceEndpoints(namespace, name, MappingProxyType({}), note)
    found = tuple(slices)
    ports = {
        number: _of_port(port_name, service.families, found) for number, port_name in service.ports
    }
    return ServiceEndpoints(namespace, name, MappingProxyType(ports))


def _of_port(
    port_name: str, families: tuple[str, ...], slices: tuple[Slice, ...]
) -> tuple[Endpoint, ...]:
    for wanted in (_ready, _still_serving):
        for family in (*families, *(each for each in _FAMILIES if each not in families)):
            endpoints = {
                Endpoint(address, port, endpoint.zone)
                for each in slices
                if each.family == family
                for name, port in each.ports
                if name == port_name
                for endpoint in each.endpoints
                if wanted(endpoint)
                # all addresses of an endpoint lead to the same place (EndpointSlice API)
                for address in endpoint.addresses[:1]
            }
            if endpoints:
                return _once(endpoints)
    return ()


def _once(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Sorted, one an address and port; with a zone, when any slice knows it."""
    by_place: dict[tuple[str, int], Endpoint] = {}
    for each in sorted(endpoints, key=lambda each: (each.address, each.port, each.zone)):
        by_place[each.address, each.port] = each
    return tuple(by_place.values())


def _ready(endpoint: SliceEndpoint) -> bool:
    return endpoint.ready


def _still_serving(endpoint: SliceEndpoint) -> bool:
    return endpoint.serving
