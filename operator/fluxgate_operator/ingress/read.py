"""An Ingress (networking.k8s.io/v1) as plain data: what it says, in the order it says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fluxgate_operator.kube.client import Document


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service, by number or by name."""

    service: str
    number: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """One path of a rule; ``where`` is its place in the Ingress, for messages."""

    where: str
    host: str
    type: str
    path: str
    backend: ServicePort | None


@dataclass(frozen=True, slots=True)
class TLS:
    """Hosts and the Secret of their certificate."""

    where: str
    hosts: tuple[str, ...]
    secret: str


@dataclass(frozen=True, slots=True)
class Ingress:
    """What we need of an Ingress. An empty host means all hosts."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    annotations: Mapping[str, str]
    paths: tuple[Path, ...]
    hosts: tuple[str, ...]
    """Hosts of all rules, also of those without paths."""
    default: Path | None
    tls: tuple[TLS, ...]
    addresses: tuple[tuple[str, str], ...] = field(default=())
    """``(ip or hostname, value)`` of its status, as last seen."""


def read_ingress(document: Document) -> Ingress:
    """Read what the API server has checked (rules: ``ValidateIngressSpec``)."""
    meta, spec = document["metadata"], document.get("spec") or {}
    rules = spec.get("rules") or ()
    default = spec.get("defaultBackend")
    return Ingress(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        created=meta.get("creationTimestamp") or "",
        annotations=dict(meta.get("annotations") or {}),
        paths=tuple(_paths(rules)),
        hosts=tuple(dict.fromkeys([rule.get("host") or "" for rule in rules])),
        default=_default(default) if default else None,
        tls=tuple(_tls(spec.get("tls") or ())),
        addresses=_addresses(document),
    )


def _paths(rules: Iterable[Document]) -> Iterator[Path]:
    for index, rule in enumerate(rules):
        for number, each in enumerate((rule.get("http") or {}).get("paths") or ()):
            yield Path(
                where=f"spec.rules[{index}].http.paths[{number}]",
                host=rule.get("host") or "",
                type=each.get("pathType") or "ImplementationSpecific",
                path=each.get("path") or "/",
                backend=_backend(each.get("backend")),
            )


def _default(backend: Document) -> Path:
    return Path("spec.defaultBackend", "", "Prefix", "/", _backend(backend))


def _backend(backend: Document | None) -> ServicePort | None:
    """None for a resource backend, the one kind besides a Service."""
    service = (backend or {}).get("service")
    if not service:
        return None
    port = service.get("port") or {}
    return ServicePort(service["name"], port.get("number") or 0, port.get("name") or "")


def _tls(entries: Iterable[Document]) -> Iterator[TLS]:
    for index, each in enumerate(entries):
        yield TLS(
            f"spec.tls[{index}]", tuple(each.get("hosts") or ()), each.get("secretName") or ""
        )


def _addresses(document: Document) -> tuple[tuple[str, str], ...]:
    balancer = (document.get("status") or {}).get("loadBalancer") or {}
    found = []
    for each in balancer.get("ingress") or ():
        kind = "ip" if each.get("ip") else "hostname"
        found.append((kind, each.get(kind) or ""))
    return tuple(found)
