"""What one client holds of one type: a shared view, and the little that differs from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fluxgate.snapshot import SnapshotResource
from fluxgate_xds.views import NOTHING, View


class Held(NamedTuple):
    """What the client has under a name. ``resource`` is None when only the version is known."""

    version: str
    resource: SnapshotResource | None


ABSENT = Held("", None)
"""The client was told that there is no such resource."""


class Holdings:
    """A mapping of names to :class:`Held` that costs nothing for what equals ``base``."""

    __slots__ = ("_hidden", "_overlay", "base")

    def __init__(self) -> None:
        self.base: View = NOTHING
        self._overlay: dict[str, Held] = {}
        self._hidden: set[str] = set()
        """Names of ``base`` that the client does not hold so."""

    @property
    def differs(self) -> bool:
        """Whether anything differs from ``base``."""
        return bool(self._overlay or self._hidden)

    @property
    def whole(self) -> bool:
        """Whether everything of ``base`` is held, so that its references are the client's."""
        return not self._hidden

    @property
    def overlay(self) -> Mapping[str, Held]:
        """What is held beside or instead of ``base``."""
        return self._overlay

    def rebase(self, view: View) -> None:
        """The client is known to hold exactly ``view``."""
        self.base, self._overlay, self._hidden = view, {}, set()

    def recognise(self, view: View) -> frozenset[str]:
        """Take ``view`` for what is held in the same versions; returns those names.

        For a client of which only versions are known, as after a reconnect.
        """
        claimed, resources = self._overlay, view.resources
        unknown = {
            name: held
            for name, held in claimed.items()
            if (resource := resources.get(name)) is None or resource.version != held.version
        }
        self.base, self._overlay = view, unknown
        self._hidden = set(view.names - claimed.keys()).union(unknown.keys() & view.names)
        return view.names.difference(self._hidden) if self._hidden else view.names

    def get(self, name: str) -> Held | None:
        """What is held under ``name``."""
        if (held := self._overlay.get(name)) is not None:
            return held
        resource = self.base.resources.get(name)
        if resource is None or name in self._hidden:
            return None
        return Held(resource.version, resource)

    def has(self, name: str) -> bool:
        """Whether the client has some version of ``name``."""
        held = self._overlay.get(name)
        if held is not None:
            return held is not ABSENT
        return name in self.base.resources and name not in self._hidden

    def has_all(self, names: frozenset[str]) -> bool:
        """Whether the client has every one of ``names``."""
        if not self.differs:
            return names <= self.base.names
        return all(map(self.has, names))

    def put(self, name: str, held: Held) -> None:
        """From now on the client has ``held`` under ``name``."""
        below = self.base.resources.get(name)
        if below is not None and below is held.resource:
            self._overlay.pop(name, None)
            self._hidden.discard(name)
            return
        self._overlay[name] = held
        if below is not None:
            self._hidden.add(name)

    def put_all(self, entries: Mapping[str, Held]) -> None:
        """The same for many; only before there is a ``base``."""
        self._overlay.update(entries)

    def discard(self, name: str) -> None:
        """The client has nothing under ``name``, nor was it told so."""
        self._overlay.pop(name, None)
        if name in self.base.resources:
            self._hidden.add(name)

    def __bool__(self) -> bool:
        return bool(self._overlay) or len(self._hidden) < len(self.base.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        """Every name that :meth:`get` answers."""
        names: Iterable[str] = self.base.resources
        for name in names:
            if name not in self._hidden:
                yield name
        yield from self._overlay

    def resources(self, *, without_base: bool) -> Iterator[tuple[str, SnapshotResource | None]]:
        """What the client has, without what it was told is absent."""
        if not without_base:
            for name, resource in self.base.resources.items():
                if name not in self._hidden:
                    yield name, resource
        for name, held in self._overlay.items():
            if held is not ABSENT:
                yield name, held.resource
