"""What all streams share: one look at each type of each snapshot, however many streams there are.

A stream that holds all clusters of a snapshot holds a reference to one of these
views and nothing by itself. Views are made once per set of resources and found
again by the identity of the snapshot's own mapping, which they keep alive.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from itertools import repeat
from typing import TypeVar

from fluxgate.difference import fresh
from fluxgate.snapshot import SnapshotResource
from fluxgate_xds.subscription import Subscription

K = TypeVar("K")
V = TypeVar("V")
Reference = tuple[str, str]
Resources = Mapping[str, SnapshotResource]


class View:
    """All resources of one type in one snapshot; what is computed from them is computed once."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the resources."""
        return frozenset(self.resources)

    @cached_property
    def keys(self) -> frozenset[Reference]:
        """(type URL, name) of the resources."""
        urls = repeat(next(iter(self.resources.values())).type_url) if self.resources else ()
        return frozenset(zip(urls, self.resources, strict=False))

    @cached_property
    def references(self) -> Mapping[str, frozenset[str]]:
        """The names that the resources refer to, by type URL."""
        targets: dict[str, set[str]] = {}
        for resource in self.listed:
            for url, name in resource.references:
                targets.setdefault(url, set()).add(name)
        return {url: frozenset(names) for url, names in targets.items()}

    @cached_property
    def listed(self) -> tuple[SnapshotResource, ...]:
        """The resources, in order."""
        return tuple(self.resources.values())

    @cached_property
    def uniform(self) -> bool:
        """Whether a wildcard gets every resource in one step: none is on demand or final."""
        return not any(each.on_demand or each.final for each in self.listed)

    def covers(self, subscription: Subscription) -> bool:
        """Whether ``subscription`` asks for exactly these resources, in one step."""
        if not self.uniform:
            return False
        if subscription.wildcard:
            return not subscription.names
        return subscription.names is self.names or subscription.names == self.names


NOTHING = View({})
"""The view of a client that holds nothing."""


class Views:
    """Remembers the last ``size`` views, differences and sets of names; evicts the oldest."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._views: OrderedDict[int, View] = OrderedDict()
        self._differences: OrderedDict[
            tuple[int, int], tuple[Resources, Resources, frozenset[str]]
        ] = OrderedDict()
        self._names: OrderedDict[frozenset[str], frozenset[str]] = OrderedDict()

    def of(self, resources: Resources) -> View:
        """The view of a snapshot's resources of one type."""
        if not resources:
            return NOTHING
        view = self._views.get(id(resources))  # a view keeps its mapping: the id stays its own
        if view is None:
            view = self._views[id(resources)] = View(resources)
            self._names[view.names] = view.names
            _bound(self._views, self._size)
            _bound(self._names, self._size)
        return view

    def interned(self, subscription: Subscription) -> Subscription:
        """An equal subscription that shares its set of names with every other stream."""
        if not subscription.names:
            return subscription
        names = self._names.setdefault(subscription.names, subscription.names)
        _bound(self._names, self._size)
        return subscription.sharing(names)

    def differing(self, old: Resources, new: Resources) -> frozenset[str]:
        """The names under which two sets of resources of one type differ."""
        if old is new:
            return frozenset()
        key = (id(old), id(new))  # the entry keeps both alive
        if key not in self._differences:
            self._differences[key] = (old, new, differing(old, new))
            _bound(self._differences, self._size)
        return self._differences[key][2]


def differing(old: Resources, new: Resources) -> frozenset[str]:
    """The names under which two sets of resources of one type differ."""
    gone = old.keys() - new.keys()
    changed = (
        resource.name
        for resource in fresh(new.values(), old.values())
        if (before := old.get(resource.name)) is None or before.version != resource.version
    )
    return frozenset(gone.union(changed))


def _bound(entries: OrderedDict[K, V], size: int) -> None:
    while len(entries) > size:
        entries.popitem(last=False)
