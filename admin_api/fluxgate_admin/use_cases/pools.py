"""The health of what routes send to, as Envoys see it, read from the control plane's memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fluxgate.api.v1alpha1 import Backend, Route
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ports import ControlPlane, PoolState, TargetState
from fluxgate.ports.plane import TargetHealth
from fluxgate.resources import ObjectRef, Resources
from fluxgate.translator.destinations import service_pool, url_pool
from fluxgate.translator.upstreams import sidecar_pool, upstream_pool

_DEPTH = 4
"""So many Backends may lead to each other by canaries; more do not occur in valid objects."""


class Health(StrEnum):
    """How the targets behind a route are, in one word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    NOT_CHECKED = "not_checked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """The targets of everything a route sends to."""

    status: Health
    targets: tuple[TargetState, ...]


class Pools:
    """Pools by name; looked up anew only when the control plane says something else."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._seen: tuple[PoolState, ...] | None = None
        self._by_name: Mapping[str, tuple[PoolState, ...]] = {}

    def health(self, route: Route) -> UpstreamHealth:
        """How the targets behind a route are, over all gateways that serve it."""
        known = self._known()
        names = dict.fromkeys(_pools_of(route, self._plane.resources()))
        found: dict[str, TargetState] = {}
        for name in names:
            for pool in known.get(name, ()):
                for target in pool.targets:
                    before = found.get(target.address)
                    found[target.address] = target if before is None else _worse(before, target)
        targets = tuple(found.values())
        return UpstreamHealth(_word(targets), targets)

    def _known(self) -> Mapping[str, tuple[PoolState, ...]]:
        now = self._plane.pools()
        if now is not self._seen:
            by_name: dict[str, tuple[PoolState, ...]] = {}
            for each in now:
                by_name[each.pool] = (*by_name.get(each.pool, ()), each)
            self._seen, self._by_name = now, by_name
        return self._by_name


_ORDER = (
    TargetHealth.UNHEALTHY,
    TargetHealth.PARTLY_HEALTHY,
    TargetHealth.UNKNOWN,
    TargetHealth.NOT_CHECKED,
    TargetHealth.HEALTHY,
)


def _worse(one: TargetState, other: TargetState) -> TargetState:
    return min(one, other, key=lambda each: _ORDER.index(each.health))


def _word(targets: Iterable[TargetState]) -> Health:
    found = {each.health for each in targets}
    match found:
        case set() if not found:
            return Health.UNKNOWN
        case _ if found <= {TargetHealth.HEALTHY}:
            return Health.HEALTHY
        case _ if found <= {TargetHealth.HEALTHY, TargetHealth.NOT_CHECKED}:
            return Health.NOT_CHECKED
        case _ if found == {TargetHealth.UNHEALTHY}:
            return Health.UNHEALTHY
        case _ if found & {TargetHealth.UNHEALTHY, TargetHealth.PARTLY_HEALTHY}:
            return Health.DEGRADED
    return Health.UNKNOWN


def _pools_of(route: Route, resources: Resources) -> Iterator[str]:
    namespace = route.metadata.namespace
    for backend in route.spec.backends:
        yield from _of_ref(backend, namespace, resources)


def _of_ref(backend: BackendRef, namespace: str, resources: Resources) -> Iterator[str]:
    if backend.url is not None:
        yield url_pool(backend.url)
    elif backend.kind == "Service":
        yield service_pool(namespace, backend.name or "", backend.port or 0)
    else:
        ref = ObjectRef(backend.kind, namespace, backend.name or "")
        yield from _of_object(ref, resources, _DEPTH)


def _of_object(ref: ObjectRef, resources: Resources, depth: int) -> Iterator[str]:
    if ref.kind == "Upstream":
        yield upstream_pool(ref.namespace, ref.name)
        yield sidecar_pool(ref.namespace, ref.name)
        return
    found = resources.get(ref)
    if not isinstance(found, Backend) or not depth:
        return
    spec = found.spec
    if spec.url is not None:
        yield f"backend/{ref.namespace}/{ref.name}"
    if spec.service is not None:
        yield service_pool(ref.namespace, spec.service.name, spec.service.port)
    if spec.upstream is not None:
        yield from _of_object(ObjectRef("Upstream", ref.namespace, spec.upstream), resources, depth)
    if spec.canary is not None:
        canary = ObjectRef(spec.canary.kind, ref.namespace, spec.canary.name)
        yield from _of_object(canary, resources, depth - 1)
