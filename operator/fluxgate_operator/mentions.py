"""Which objects an object may have been translated with, by the names it mentions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType

from fluxgate.api.v1alpha1 import Resource
from fluxgate.resources import Object, ObjectRef, Resources

_REFERRED = ("Backend", "Upstream", "Secret", "Service")
_EVERYWHERE = ("Plugin", "Tenant")
"""Kinds that may apply to objects that do not mention them."""


def made_from(resources: Resources, roots: Iterable[ObjectRef]) -> set[ObjectRef]:
    """The roots, whatever they mention, directly or not, and every Plugin and Tenant.

    Rather too many than too few: a name counts wherever it stands.
    """
    found = {ref for kind in _EVERYWHERE for ref in resources.objects.get(kind, {})}
    waiting = [*roots, *found]
    found.update(waiting)
    while waiting:
        ref = waiting.pop()
        obj = resources.get(ref)
        for name in set(_texts(_said(obj))):
            for kind in _REFERRED:
                other = ObjectRef(kind, ref.namespace, name)
                if other not in found and resources.get(other) is not None:
                    found.add(other)
                    waiting.append(other)
    return found


def narrowed(resources: Resources, refs: Iterable[ObjectRef]) -> Resources:
    """Only these objects."""
    objects: dict[str, dict[ObjectRef, Object]] = {}
    for ref in refs:
        if (obj := resources.get(ref)) is not None:
            objects.setdefault(ref.kind, {})[ref] = obj
    return Resources(
        MappingProxyType({kind: MappingProxyType(each) for kind, each in objects.items()}),
        resources.revision,
    )


def _said(obj: Object | None) -> object:
    return obj.model_dump(include={"spec"}) if isinstance(obj, Resource) else None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
