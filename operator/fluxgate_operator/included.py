"""Which gateways an object is part of, from the origins of what they serve."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from operator import attrgetter

from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot, SnapshotResource

_ORIGINS = attrgetter("origins")
_Resources = Mapping[str, SnapshotResource]


class Included:
    """Follows the snapshots; types in which nothing changed cost nothing."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], tuple[_Resources, frozenset[ObjectRef]]] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._refs: dict[str, frozenset[ObjectRef]] = {}

    @property
    def gateways(self) -> frozenset[str]:
        """Every gateway that is published."""
        return frozenset(self._refs)

    def update(self, snapshots: Mapping[str, Snapshot]) -> set[ObjectRef]:
        """The objects that came to, or went from, some gateway since the last call."""
        changed: set[ObjectRef] = set()
        before, self._refs = self._refs, {}
        for name, snapshot in snapshots.items():
            known = before.get(name, frozenset())
            if self._snapshots.get(name) is snapshot:
                self._refs[name] = known
                continue
            refs = self._refs[name] = self._of(name, snapshot)
            changed |= refs ^ known
        for gone in before.keys() - snapshots.keys():
            changed |= before[gone]
            self._types = {key: each for key, each in self._types.items() if key[0] != gone}
        self._snapshots = dict(snapshots)
        return changed

    def gateways_of(self, ref: ObjectRef) -> frozenset[str]:
        """The gateways with something made from this object; empty for none."""
        return frozenset([name for name, refs in self._refs.items() if ref in refs])

    def _of(self, name: str, snapshot: Snapshot) -> frozenset[ObjectRef]:
        parts = []
        for url, resources in snapshot.resources.items():
            known = self._types.get((name, url))
            if known is None or known[0] is not resources:
                refs = frozenset(chain.from_iterable(map(_ORIGINS, resources.values())))
                known = self._types[name, url] = (resources, refs)
            parts.append(known[1])
        return frozenset().union(*parts)
