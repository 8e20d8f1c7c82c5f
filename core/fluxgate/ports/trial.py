"""What a change would do: checked, translated, and tried by the real Envoy, and nothing stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef


@dataclass(frozen=True, slots=True)
class Proposal:
    """One object as it shall be; ``document`` None deletes it."""

    ref: ObjectRef
    document: Document | None


class FindingSource(StrEnum):
    """Who found it."""

    SCHEMA = "schema"
    TRANSLATION = "translation"
    ENVOY = "envoy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. ``pointer`` (RFC 6901) leads into the document of ``ref``; empty: all of it.

    With ``fatal`` the object would not be served as written. Others are worth reading. ``proposal`` is the
    place among the proposals, None for an object that was not proposed and suffers from them.
    """

    source: FindingSource
    ref: ObjectRef | None
    pointer: str
    message: str
    reason: str = ""
    fatal: bool = True
    proposal: int | None = None


@dataclass(frozen=True, slots=True)
class EnvoyChange:
    """One resource of Envoy's: ``change`` is ``added``, ``changed`` or ``removed``."""

    gateway: str
    type: str
    name: str
    change: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What would be different. ``objects`` holds a unified diff of YAML for each object that changes."""

    objects: tuple[tuple[ObjectRef, str], ...] = ()
    routes: tuple[EnvoyChange, ...] = ()
    envoy: tuple[EnvoyChange, ...] = ()


class Untried(StrEnum):
    """Why a trial did not come to its end.

    After ``BUSY`` and ``NOT_READY`` nothing is known of the change, and the same trial later may succeed. After
    the others what was found holds, and there may be more to find.
    """

    BUSY = "Busy"
    """Too many others are tried: its turn did not come in time."""
    NOT_READY = "NotReady"
    """Nothing has been read yet, so there is no world to try it in."""
    REFUSED = "Refused"
    """What is checked first refuses it."""
    OUT_OF_TIME = "OutOfTime"
    NO_ENVOY = "NoEnvoy"
    """There is no Envoy to ask."""
    ENVOY_SILENT = "EnvoySilent"
    """Envoy was asked, and gave no answer."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome. ``asked_envoy``: it has answered about all that changes for it; False where nothing does.

    ``untried`` says why the trial did not come to its end, None when it did; ``note`` says the same in words.
    ``cached`` is whether Envoy's answer was known already.
    """

    findings: tuple[Finding, ...] = ()
    difference: Difference = Difference()
    asked_envoy: bool = False
    cached: bool = False
    note: str = ""
    untried: Untried | None = None

    @property
    def ok(self) -> bool:
        """Whether everything proposed would be served as written."""
        return not any(each.fatal for each in self.findings)


class TrialRunner(Protocol):
    """Tries changes against what is there now; bounded in time and in how many at once.

    Who comes when there are too many waits in line, and is ``BUSY`` only when its time runs out there.
    """

    async def try_out(self, proposals: Sequence[Proposal], *, seconds: float = 10.0) -> Trial:
        """What ``proposals`` would do, all together. Never raises for what they hold."""
        ...
