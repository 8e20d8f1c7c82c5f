"""From one Ingress to Routes and certificates of ours. Pure, and equal input gives equal output.

What Kubernetes says of an Ingress and how it comes about here:

- **Paths.** ``Exact`` is our Exact, ``Prefix`` our Prefix (both compare whole segments, and a
  trailing slash of the pattern means nothing); ``ImplementationSpecific`` is taken as ``Prefix``.
  Our order of routes (:mod:`fluxgate.routing.precedence`) is the documented one: Exact
  before Prefix, the longest Prefix first.
- **Hosts.** ``*.example.com`` covers one label only. Our wildcard, like Envoy's, covers more, so such
  a rule has a condition on the host besides; a request it does not take goes to less specific hosts.
- **Default backend.** A route of the lowest priority for the hosts of the Ingress, and one
  for all hosts: so what any rule of any Ingress takes is never taken by a default backend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic import ValidationError

from fluxgate.api.v1alpha1 import ObjectMeta, Route
from fluxgate.api.v1alpha1.matching import HeaderMatch, PathMatch, RouteMatch
from fluxgate.api.v1alpha1.route import BackendRef, RouteSpec
from fluxgate.resources import ObjectRef, ServerCertificate, ServerCertificates
from fluxgate_operator.ingress.read import Ingress, Path, ServicePort

KIND = "Ingress"
LAST = -1000
"""The lowest priority of a Route: a default backend is tried after everything else."""

_HOSTS_A_ROUTE = 64

PortOf = Callable[[str, ServicePort], int | str]
"""The number of a Service's port (its namespace is given), or words why there is none."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a part of an Ingress from being served; ``where`` is its place in there."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Translated:
    """What an Ingress becomes. ``places`` say where in it each Route comes from."""

    routes: tuple[Route, ...] = ()
    certificates: ServerCertificates | None = None
    problems: tuple[Problem, ...] = ()
    places: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))


def translate_ingress(ingress: Ingress, gateway: ObjectRef | None, port_of: PortOf) -> Translated:
    """The Routes of ``ingress``, for ``gateway`` (None: any), and the certificates of its hosts.

    A path whose backend cannot be found keeps its place and answers 502, so that no other rule
    takes its requests; everything that is not served is told among the problems.
    """
    routes: list[Route] = []
    problems: list[Problem] = []
    places: dict[str, str] = {}
    for part, path, hosts, priority in _parts(ingress):
        port = _port(ingress, path, port_of)
        if isinstance(port, Problem) and port not in problems:
            problems.append(port)
        backends = () if isinstance(port, Problem) else (port,)
        made = _route(ingress, part, path, hosts, priority, gateway, backends)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            routes.append(made)
            places[made.metadata.name] = path.where
    certificates = _certificates(ingress, gateway, problems)
    return Translated(tuple(routes), certificates, tuple(problems), MappingProxyType(places))


def _parts(ingress: Ingress) -> Iterator[tuple[str, Path, tuple[str, ...], int]]:
    """(part of the name, path, hosts, priority) of every Route to be made."""
    for number, path in enumerate(ingress.paths):
        # of two equal ones the first in order of names wins, which is to be the first in the list
        yield f"{number:04d}", path, (path.host,), 0
    default = ingress.default
    if default is None:
        return
    exact = [host for host in ingress.hosts if host and not host.startswith("*")]
    others = [host for host in ingress.hosts if host.startswith("*")]
    chunks = [
        tuple(exact[start : start + _HOSTS_A_ROUTE])
        for start in range(0, len(exact), _HOSTS_A_ROUTE)
    ]
    for number, hosts in enumerate([*chunks, *((host,) for host in others), ("",)]):
        yield f"default-{number}", default, hosts, LAST


def _port(ingress: Ingress, path: Path, port_of: PortOf) -> BackendRef | Problem:
    if path.backend is None:
        return Problem(
            path.where,
            "a resource backend is not supported; name a Service, or write a Route of "
            "gateway.fluxgate.io",
        )
    port = port_of(ingress.namespace, path.backend)
    if isinstance(port, str):
        return Problem(path.where, port)
    return BackendRef(kind="Service", name=path.backend.service, port=port)


def _route(
    ingress: Ingress,
    part: str,
    path: Path,
    hosts: tuple[str, ...],
    priority: int,
    gateway: ObjectRef | None,
    backends: tuple[BackendRef, ...],
) -> Route | Problem:
    try:
        spec = RouteSpec(
            gateways=(gateway.name,) if gateway else (),
            hosts=tuple(host for host in hosts if host),
            priority=priority,
            matches=(_match(path, hosts[0]),),
            backends=backends,
            description=f"made from Ingress {ingress.namespace}/{ingress.name}, {path.where}",
        )
    except ValidationError as error:
        return Problem(path.where, "; ".join(each["msg"] for each in error.errors()))
    return Route(metadata=_metadata(ingress, part), spec=spec)


def _metadata(ingress: Ingress, part: str) -> ObjectMeta:
    """Names no user's object can have: see :attr:`fluxgate.resources.ObjectRef.source`."""
    return ObjectMeta.model_construct(
        name=f"{KIND}:{ingress.name}:{part}",
        namespace=ingress.namespace,
        uid=ingress.uid,
        generation=ingress.generation,
        resource_version="",
        creation_timestamp=ingress.created,
        deletion_timestamp=None,
        labels={},
        annotations={},
    )


def _match(path: Path, host: str) -> RouteMatch:
    kind: Literal["Exact", "Prefix"] = "Exact" if path.type == "Exact" else "Prefix"
    headers: tuple[HeaderMatch, ...] = ()
    if host.startswith("*."):
        pattern = rf"(?i)[^.]+{re.escape(host[1:])}(:[0-9]+)?"
        headers = (HeaderMatch(name="host", type="Regex", value=pattern),)
    return RouteMatch(path=PathMatch(type=kind, value=path.path), headers=headers)


def _certificates(
    ingress: Ingress, gateway: ObjectRef | None, problems: list[Problem]
) -> ServerCertificates | None:
    """A host list that is left out means the hosts of the rules; a Secret that is, the listener's."""
    if gateway is None:
        return None
    found = []
    for each in ingress.tls:
        if not each.secret:
            continue
        hosts = each.hosts or tuple(host for host in ingress.hosts if host)
        if not hosts:
            problems.append(
                Problem(each.where, "names no host, and neither does a rule; add the hosts")
            )
            continue
        secret = ObjectRef("Secret", ingress.namespace, each.secret)
        found.append(ServerCertificate(secret, tuple(sorted(set(hosts)))))
    if not found:
        return None
    return ServerCertificates(
        namespace=ingress.namespace,
        name=f"{KIND}:{ingress.name}",
        gateway=gateway,
        created=ingress.created,
        certificates=tuple(found),
    )
