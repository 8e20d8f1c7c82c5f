"""Who uses an object, by the names that others' specs hold. Pure.

Being the target of a Plugin is not being used by it: without the target the Plugin has nothing to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from fluxgate.api.v1alpha1 import Backend, Plugin, Resource, Route
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.resources import ObjectRef, Resources, ref_of
from fluxgate.translator.config_refs import references_in
from fluxgate.translator.policies import read_config

T = TypeVar("T", bound=Resource)
_WITH_TENANT = ("Route", "Backend", "Upstream", "Plugin", "ApiKey")


def users_of(ref: ObjectRef, resources: Resources) -> tuple[ObjectRef, ...]:
    """Every object that names ``ref`` and would miss it, in order."""
    return tuple(sorted({user for user in _users(ref, resources) if user != ref}))


def _users(ref: ObjectRef, resources: Resources) -> Iterator[ObjectRef]:
    match ref.kind:
        case "Backend" | "Upstream":
            yield from _of_backends(ref, resources)
        case "Plugin":
            for route in _near(ref, resources.routes.values()):
                if any(use.name == ref.name for use in route.spec.plugins):
                    yield ref_of(route)
        case "GatewayConfig":
            for route in resources.routes.values():
                if ref.name in route.spec.gateways:
                    yield ref_of(route)
        case "Tenant":
            for kind in _WITH_TENANT:
                for user, each in resources.objects.get(kind, {}).items():
                    if getattr(getattr(each, "spec", None), "tenant", None) == ref.name:
                        yield user


def _of_backends(ref: ObjectRef, resources: Resources) -> Iterator[ObjectRef]:
    for route in _near(ref, resources.routes.values()):
        if any(_named(each, ref.namespace) == ref for each in _backends_of(route)) or any(
            ref in _in_config(use.type, use.config, ref.namespace)
            for use in route.spec.plugins
            if use.type and use.config
        ):
            yield ref_of(route)
    for backend in _near(ref, resources.backends.values()):
        if ref in _of_backend(backend):
            yield ref_of(backend)
    for plugin in _near(ref, resources.plugins.values()):
        if ref in _of_plugin(plugin):
            yield ref_of(plugin)


def _near(ref: ObjectRef, objects: Iterable[T]) -> Iterator[T]:
    return (each for each in objects if each.metadata.namespace == ref.namespace)


def _backends_of(route: Route) -> Iterator[BackendRef]:
    spec = route.spec
    yield from spec.backends
    yield from (each.backend for each in (*spec.mirrors, *((spec.mirror,) if spec.mirror else ())))


def _named(backend: BackendRef, namespace: str) -> ObjectRef | None:
    return ObjectRef(backend.kind, namespace, backend.name) if backend.name is not None else None


def _of_backend(backend: Backend) -> set[ObjectRef]:
    spec, namespace = backend.spec, backend.metadata.namespace
    found = {ObjectRef("Upstream", namespace, spec.upstream)} if spec.upstream else set()
    if spec.canary:
        found.add(ObjectRef(spec.canary.kind, namespace, spec.canary.name))
    return found


def _of_plugin(plugin: Plugin) -> set[ObjectRef]:
    return _in_config(plugin.spec.type, plugin.spec.config, plugin.metadata.namespace)


def _in_config(kind: str, config: dict[str, object], namespace: str) -> set[ObjectRef]:
    model, _, _ = read_config(kind, config)
    return {ref for _, ref in references_in(model, namespace)} if model is not None else set()
