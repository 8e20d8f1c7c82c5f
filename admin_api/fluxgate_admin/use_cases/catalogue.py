"""Every object that is there, by public id and in order, read from the control plane's memory.

Costs what changed since the last look, not what there is: a list of ten thousand routes is sorted once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ports import ControlPlane
from fluxgate.resources import ObjectRef, Resources
from fluxgate_admin.errors import NotFoundError
from fluxgate_admin.ids import PREFIXES, public_id
from fluxgate_admin.principal import Principal

_FEW = 64
"""More changes than this are sorted in, instead of inserted one by one."""
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects in the order of namespace and name; ``after`` is where the next page begins."""

    objects: tuple[Resource, ...]
    after: ObjectRef | None = None


class Catalogue:
    """Follows the resources of a control plane, whenever it is asked."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._seen: Resources | None = None
        self._ids: dict[str, ObjectRef] = {}
        self._order: dict[str, list[ObjectRef]] = {}

    def find(self, principal: Principal, kind: str, public: str) -> Resource:
        """The object with a public id. Raises ``NotFoundError``, also for one of others."""
        resources = self._follow()
        ref = self._ids.get(public)
        found = resources.get(ref) if ref is not None and ref.kind == kind else None
        if ref is None or not isinstance(found, Resource) or not principal.sees(ref.namespace):
            raise NotFoundError(f"There is no {kind} {public}.")
        return found

    def get(self, principal: Principal, ref: ObjectRef) -> Resource | None:
        """An object by its identity; None where there is none for this caller."""
        found = self._plane.resources().get(ref)
        return found if isinstance(found, Resource) and principal.sees(ref.namespace) else None

    def page(
        self,
        principal: Principal,
        kind: str,
        *,
        after: ObjectRef | None = None,
        limit: int,
        namespace: str = "",
        wanted: Callable[[Resource], bool] = lambda _: True,
    ) -> Page:
        """At most ``limit`` objects behind ``after`` that the caller sees and that are ``wanted``."""
        resources = self._follow()
        objects = resources.objects.get(kind, {})
        found: list[Resource] = []
        for ref in self._visible(principal, kind, namespace, after):
            each = objects.get(ref)
            if not isinstance(each, Resource) or not wanted(each):
                continue
            if len(found) == limit:
                last = found[-1].metadata
                return Page(tuple(found), ObjectRef(kind, last.namespace, last.name))
            found.append(each)
        return Page(tuple(found))

    def _visible(
        self, principal: Principal, kind: str, namespace: str, after: ObjectRef | None
    ) -> Iterator[ObjectRef]:
        order = self._order.get(kind, [])
        start = bisect_right(order, after) if after is not None else 0
        if namespace:
            if not principal.sees(namespace):
                return iter(())
            return _within(order, kind, namespace, start)
        if principal.namespaces is None:
            return iter(order[start:]) if start else iter(order)
        return merge(*(_within(order, kind, each, start) for each in sorted(principal.namespaces)))

    def _follow(self) -> Resources:
        now = self._plane.resources()
        if now is not self._seen:
            changed = [ref for ref in now.changed_since(self._seen) if ref.kind in PREFIXES]
            self._seen = now
            self._take_in(now, changed)
        return now

    def _take_in(self, now: Resources, changed: Collection[ObjectRef]) -> None:
        here = [ref for ref in changed if now.get(ref) is not None]
        for ref in here:
            self._ids[public_id(ref)] = ref
        for ref in changed:
            if now.get(ref) is None:
                self._ids.pop(public_id(ref), None)
        if len(changed) > _FEW:
            for kind in {ref.kind for ref in changed}:
                self._order[kind] = sorted(now.objects.get(kind, {}))
            return
        for ref in changed:
            self._put(ref, present=now.get(ref) is not None)

    def _put(self, ref: ObjectRef, *, present: bool) -> None:
        order = self._order.setdefault(ref.kind, [])
        index = bisect_left(order, ref)
        known = index < len(order) and order[index] == ref
        if present and not known:
            order.insert(index, ref)
        elif known and not present:
            del order[index]


def _within(
    order: Sequence[ObjectRef], kind: str, namespace: str, start: int
) -> Iterator[ObjectRef]:
    """The refs of one namespace from ``start`` on; a namespace is one stretch of the order."""
    first = max(start, bisect_left(order, ObjectRef(kind, namespace, "")))
    last = bisect_right(order, ObjectRef(kind, namespace, _LAST))
    return (order[index] for index in range(first, last))
