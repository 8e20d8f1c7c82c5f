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


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome. ``asked_envoy`` is False when nothing changes for Envoy, or Envoy is not there.

    ``note`` says what was not tried, and why; ``cached`` whether Envoy's answer was known already.
    """

    findings: tuple[Finding, ...] = ()
    difference: Difference = Difference()
    asked_envoy: bool = False
    cached: bool = False
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything proposed would be served as written."""
        return not any(each.fatal for each in self.findings)


class TrialRunner(Protocol):
    """Tries changes against what is there now; bounded in time and in how many at once."""

    async def try_out(self, proposals: Sequence[Proposal], *, seconds: float = 10.0) -> Trial:
        """What ``proposals`` would do, all together. Never raises for what they hold."""
        ...
