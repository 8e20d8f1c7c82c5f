"""The difference between two snapshots, computed once for all streams."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from fluxgate.snapshot import Snapshot
from fluxgate_xds.views import differing

Changes = Mapping[str, frozenset[str]]
"""Names that were added, changed or removed, by type URL; types without any are left out."""


def changes_between(old: Snapshot, new: Snapshot) -> Changes:
    """Every name whose resource differs; costs one pass over the types whose version differs."""
    return {
        url: names
        for url in {*old.resources, *new.resources}
        if old.versions.get(url) != new.versions.get(url)
        and (names := differing(old.of_type(url), new.of_type(url)))
    }


class ChangeLog:
    """Remembers the last few differences, since many streams move along the same step."""

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._known: OrderedDict[tuple[int, int], tuple[Snapshot, Snapshot, Changes]] = (
            OrderedDict()
        )

    def between(self, old: Snapshot, new: Snapshot) -> Changes:
        """Like :func:`changes_between`, computed once per pair of snapshots."""
        key = (id(old), id(new))  # the entry keeps both alive, so the ids stay theirs
        if key not in self._known:
            self._known[key] = (old, new, changes_between(old, new))
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key][2]
