"""A fleet behind somebody else's ingress controller (networking.k8s.io/v1 Ingress)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fluxgate.api.v1alpha1 import GatewayConfig, duration_ms
from fluxgate.routing.hosts import ANY
from fluxgate_operator.exposure.hosts import Way
from fluxgate_operator.exposure.marks import digest, object_name
from fluxgate_operator.exposure.service import service_name, service_port
from fluxgate_operator.exposure.streaming import for_ingress
from fluxgate_operator.kube.client import Document

HOSTS_AN_OBJECT = 400
"""An etcd value may have 1.5 MiB (``--max-request-bytes``). A rule of ours takes 0.4 KiB and a host
of a TLS entry 0.3 KiB at most, so an object stays below 300 KiB."""


def ingresses(config: GatewayConfig, ways: Iterable[Way], controller: str) -> tuple[Document, ...]:
    """The Ingresses for these hosts: one, or several when there are many hosts.

    ``controller`` is the ``spec.controller`` of the chosen IngressClass, if it is known. Hosts that
    only an HTTPS listener serves have objects of their own, because the protocol towards the
    fleet is an annotation of the whole object.
    """
    listed = list(ways)
    groups = {
        "": [way for way in listed if way.plain is not None],
        "-tls": [way for way in listed if way.plain is None],
    }
    return tuple(
        _ingress(
            config, object_name(config, suffix + (f"-{number}" if number else "")), part, controller
        )
        for suffix, group in groups.items()
        for number, part in _parts(group)
    )


def _parts(ways: list[Way]) -> Iterator[tuple[int, list[Way]]]:
    """Numbered parts of at most about :data:`HOSTS_AN_OBJECT`.

    A host goes to a part by its digest, so that one host more does not rewrite the others; parts
    are planned to be three quarters full, since digests do not spread evenly.
    """
    count = 1
    while len(ways) > HOSTS_AN_OBJECT * (count if count == 1 else 0.75 * count):
        count *= 2
    parts: list[list[Way]] = [[] for _ in range(count)]
    for way in ways:
        parts[int(digest(way.host, 8), 16) % count].append(way)
    yield from ((number, part) for number, part in enumerate(parts) if part)


def _ingress(config: GatewayConfig, name: str, ways: list[Way], controller: str) -> Document:
    exposure = config.spec.exposure
    secure = ways[0].plain is None
    seconds = max(duration_ms(exposure.stream_timeout) // 1000, 1)
    service = service_name(config)
    ours = for_ingress(controller, seconds, secure=service if secure else "")
    spec: dict[str, Any] = {"rules": [_rule(config, way) for way in ways]}
    if exposure.class_name:
        spec["ingressClassName"] = exposure.class_name
    if tls := _tls(config, ways):
        spec["tls"] = tls
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": {**ours, **exposure.annotations}},
        "spec": spec,
    }


def _rule(config: GatewayConfig, way: Way) -> dict[str, Any]:
    listener = way.plain or way.secure
    assert listener is not None
    backend = {
        "service": {
            "name": service_name(config),
            "port": {"number": service_port(config, listener)},
        }
    }
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    host = {} if way.host == ANY else {"host": way.host}
    return {**host, "http": {"paths": paths}}


def _tls(config: GatewayConfig, ways: list[Way]) -> list[dict[str, Any]]:
    """The certificate of the exposure for all hosts, else that of the listener that serves each."""
    chosen = config.spec.exposure.tls_secret_ref
    hosts_of: dict[str, list[str]] = {}
    for way in ways:
        if way.host == ANY:
            continue
        if chosen is not None:
            secret = chosen.name
        elif way.secure and way.secure.tls and way.secure.tls.certificate_refs:
            # of our own namespace: a listener takes no other
            secret = way.secure.tls.certificate_refs[0].name
        else:
            continue
        hosts_of.setdefault(secret, []).append(way.host)
    return [{"hosts": hosts, "secretName": secret} for secret, hosts in sorted(hosts_of.items())]
