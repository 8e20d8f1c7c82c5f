"""What the recorder needs of history beyond what writers do: taking in what a watch saw, in any order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fluxgate.ports import ChangeType, ResourceChange, Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.ports import History, Revision


class Verdict(StrEnum):
    """What an observation was."""

    KEPT = "kept"
    """It was news, and is a revision now."""
    KNOWN = "known"
    """It is what history has as the newest state."""
    OLDER = "older"
    """It is older than what history has: the watch is behind."""
    DOUBTFUL = "doubtful"
    """It differs from the newest state, and nobody can tell which is newer: read the object again."""


@dataclass(frozen=True, slots=True)
class Observation:
    """An object as it was found; ``stored`` None: it is not there.

    ``since`` is the number of the object's revision that was its newest before the object was read: what was
    read after that is newer. It counts only while that is still the newest one. None: nobody knows when it
    was read, as with news of a watch.
    """

    ref: ObjectRef
    stored: Stored | None
    since: int | None = None
    version: str = ""
    """Of the deletion, when ``stored`` is None and the place told it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an observation."""

    verdict: Verdict
    revision: Revision | None = None


def observation_of(change: ResourceChange) -> Observation:
    """What one news of a watch says of its object. Raises ``ValueError`` for SYNCED, which names none."""
    if change.ref is None:
        raise ValueError(f"{change.type} names no object")
    if change.type is ChangeType.DELETED:
        return Observation(change.ref, None, version=change.stored.version if change.stored else "")
    return Observation(change.ref, change.stored)


class Journal(History, Protocol):
    """History, as the recorder writes it. Every method raises ``UnavailableError`` without a database."""

    async def keep(self, observations: Sequence[Observation]) -> Sequence[Outcome]:
        """Take observations in, all or none; of one object in the order they were made."""
        ...

    async def newest(self, ref: ObjectRef) -> int:
        """The number of an object's newest revision; 0 when it has none."""
        ...

    async def living(self, kinds: Sequence[str]) -> Mapping[ObjectRef, str]:
        """Every object that is there, as far as history knows, with the digest of its document."""
        ...

    async def overdue(self, before: dt.datetime) -> Sequence[tuple[str, ObjectRef]]:
        """Intents begun before that moment of which nobody has said how they ended, with their objects."""
        ...
