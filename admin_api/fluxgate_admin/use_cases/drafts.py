"""What is to become of an object, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fluxgate.ports import Difference, Stored, Untried
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import Sync

NOT_ASKED = "NotAsked"
"""The reason of a warning: what the place that keeps the objects would say to a write is not known."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An object as it shall be; ``document`` None deletes it. ``pointers`` lead back into the body."""

    ref: ObjectRef
    document: Document | None
    pointers: Pointers = field(default_factory=Pointers)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a change is made.

    ``if_match`` holds the ETags of which one has to be the object's (``*``: any), None for no condition.
    ``wait`` is for the proof, for at most ``seconds``. ``force`` deletes what others use. ``repeatable`` says
    that an Idempotency-Key came along: creating what is there already, and equal, is then no conflict.
    """

    request_id: str
    seconds: float
    reason: str = ""
    if_match: tuple[str, ...] | None = None
    dry_run: bool = False
    wait: bool = True
    force: bool = False
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a change, or worth reading.

    ``pointer`` leads into the request's body. ``subject`` is the object that suffers, when it is not the one
    that is changed.
    """

    pointer: str
    message: str
    reason: str
    source: str
    fatal: bool
    subject: ObjectRef | None = None

    def as_json(self) -> Mapping[str, Any]:
        """As bodies show it."""
        shown = {
            "pointer": self.pointer,
            "message": self.message,
            "reason": self.reason,
            "source": self.source,
        }
        return shown | ({"object": str(self.subject)} if self.subject else {})


@dataclass(frozen=True, slots=True)
class Report:
    """What a dry run found. ``untried`` says why it did not come to its end, ``note`` the same in words."""

    problems: tuple[Problem, ...] = ()
    difference: Difference = field(default_factory=Difference)
    asked_envoy: bool = False
    cached: bool = False
    note: str = ""
    untried: Untried | None = None

    @property
    def fatal(self) -> tuple[Problem, ...]:
        """What keeps the change from being made."""
        return tuple(each for each in self.problems if each.fatal)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What does not."""
        return (*(each for each in self.problems if not each.fatal), *self.doubts)

    def and_also(self, problems: tuple[Problem, ...]) -> Report:
        """The same with what was found later."""
        return replace(self, problems=(*self.problems, *problems))

    @property
    def doubts(self) -> tuple[Problem, ...]:
        """That the change was not tried to its end, and may be made all the same."""
        if self.untried is None or self.untried is Untried.REFUSED:
            return ()
        return (Problem("", self.note, self.untried.value, "trial", fatal=False),)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a change.

    ``change`` is None when there was nothing to change. ``document`` is the object as it is now, or would be
    after a dry run; None when it is deleted. ``revision`` is its number in the history, None when that is not
    known (yet).
    """

    ref: ObjectRef
    change: RevisionChange | None
    document: Document | None
    sync: Sync
    report: Report = field(default_factory=Report)
    stored: Stored | None = None
    revision: int | None = None
    dry_run: bool = False
