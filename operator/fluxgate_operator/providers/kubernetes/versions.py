"""What is known of the objects of one kind, and which news of them is newer than that.

Two sources tell of the same objects: a watch, early and with gaps, and lists, complete but older
by the time they are read. Resource versions of one kind are ordered integers (KEP-5504, which
all kinds served by kube-apiserver keep, custom resources included), so the two can be merged
without caring which arrives first.
"""

from __future__ import annotations

from collections.abc import Iterable

Key = tuple[str, str]
"""Namespace and name."""


def comparable(resource_version: object) -> int | None:
    """A resource version as a number; None when it is none, which says nothing of its age."""
    if isinstance(resource_version, str) and resource_version.isascii():
        return int(resource_version) if resource_version.isdigit() else None
    return None


class Versions:
    """The versions of the objects of one kind in one scope (one namespace, or all of them).

    ``_floor`` is the version of the last complete list: whatever happened up to it is known, so
    older news is none. ``_gone`` remembers deletions after it, so that an older list or a
    late event does not bring an object back; the next list makes them superfluous.
    """

    def __init__(self) -> None:
        self._known: dict[Key, int] = {}
        self._gone: dict[Key, int] = {}
        self._floor = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: Key) -> bool:
        return key in self._known

    def seen(self, key: Key, version: int) -> bool:
        """An event or an answer shows an object; returns whether that is news."""
        return version > self._floor and self._newer(key, version)

    def deleted(self, key: Key, version: int) -> bool:
        """An event says that an object was deleted; returns whether it was there until now.

        ``version`` is the deletion's own (a DELETED event carries it).
        """
        if version <= self._floor or version <= max(
            self._known.get(key, 0), self._gone.get(key, 0)
        ):
            return False
        self._gone[key] = version
        return self._known.pop(key, None) is not None

    def listing(self, version: int) -> None:
        """A list as of ``version`` begins.

        A server that went back in time (restored from a backup) makes everything that was known
        of ages worthless: the list is the truth then.
        """
        if version < self._floor:
            self._known = dict.fromkeys(self._known, -1)
            self._gone = {}
            self._floor = 0

    def listed(self, key: Key, version: int) -> bool:
        """A list holds this object; returns whether that is news."""
        return self._newer(key, version)

    def complete(self, version: int, keys: Iterable[Key]) -> list[Key]:
        """A list as of ``version`` held ``keys`` and no other; returns those that are gone.

        What was first seen after ``version`` is not in the list and stays.
        """
        listed = set(keys)
        gone = [key for key, known in self._known.items() if known <= version and key not in listed]
        for key in gone:
            del self._known[key]
        self._floor = version
        self._gone = {key: at for key, at in self._gone.items() if at > version}
        return gone

    def forget(self, key: Key) -> bool:
        """An object is not there, or not of interest any more; returns whether it was known."""
        self._gone.pop(key, None)
        return self._known.pop(key, None) is not None

    def clear(self) -> list[Key]:
        """There is no such kind any more: nothing is known; returns what was."""
        known, self._known, self._gone = list(self._known), {}, {}
        return known

    def _newer(self, key: Key, version: int) -> bool:
        if version <= max(self._known.get(key, 0), self._gone.get(key, 0)):
            return False
        self._gone.pop(key, None)
        self._known[key] = version
        return True
