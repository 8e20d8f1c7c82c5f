"""Who has to be looked at again when something changes."""

from __future__ import annotations

from collections.abc import Iterable

from fluxgate.resources import ObjectRef


class Dependents:
    """Users and the objects they looked at, existing or not; both directions."""

    __slots__ = ("_used", "_users")

    def __init__(self) -> None:
        self._used: dict[ObjectRef, frozenset[ObjectRef]] = {}
        self._users: dict[ObjectRef, ObjectRef | set[ObjectRef]] = {}
        """Most objects have one user, and ten thousand sets of one would be dear."""

    def put(self, user: ObjectRef, used: frozenset[ObjectRef]) -> None:
        """``user`` looked at exactly ``used``."""
        before = self._used.get(user, frozenset())
        if used == before:
            return
        for ref in before - used:
            users = self._users[ref]
            if isinstance(users, set):
                users.discard(user)
            if not users or users == user:
                del self._users[ref]
        for ref in used - before if before else used:
            users = self._users.setdefault(ref, user)
            if isinstance(users, set):
                users.add(user)
            elif users is not user:
                self._users[ref] = {users, user}
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
            users = self._users.get(ref)
            if isinstance(users, set):
                found |= users
            elif users is not None:
                found.add(users)
        return found
