"""Who has to be looked at again when something changes."""

from __future__ import annotations

from collections.abc import Iterable

from fluxgate.resources import ObjectRef


class Dependents:
    """Users and the objects they looked at, existing or not; both directions."""

    __slots__ = ("_used", "_users")

    def __init__(self) -> None:
        self._used: dict[ObjectRef, frozenset[ObjectRef]] = {}
        self._users: dict[ObjectRef, set[ObjectRef]] = {}

    def put(self, user: ObjectRef, used: frozenset[ObjectRef]) -> None:
        """``user`` looked at exactly ``used``."""
        before = self._used.get(user, frozenset())
        if used == before:
            return
        for ref in before - used:
            users = self._users[ref]
            users.discard(user)
            if not users:
                del self._users[ref]
        for ref in used - before:
            self._users.setdefault(ref, set()).add(user)
        if used:
            self._used[user] = used
        else:
            self._used.pop(user, None)

    def drop(self, user: ObjectRef) -> None:
        """``user`` is gone."""
        self.put(user, frozenset())

    def of(self, refs: Iterable[ObjectRef]) -> set[ObjectRef]:
        """Everyone who looked at one of ``refs``."""
        found: set[ObjectRef] = set()
        for ref in refs:
            found |= self._users.get(ref, set())
        return found
