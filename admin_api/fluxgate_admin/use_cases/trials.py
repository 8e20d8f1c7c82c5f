"""Dry runs for one caller: what others own is neither shown nor counted.

What could not be tried at all is refused, and may be sent again. What was tried in part goes on: Envoys keep what
they have when they are given what they cannot serve, and its author is told at once and by the object's
conditions (docs/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import Difference, Finding, Proposal, Trial, TrialRunner, Untried
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.drafts import Draft, Problem, Report, WriteOptions
from fluxgate_admin.use_cases.sight import mentions_only_own, redacted

BUSY_SECONDS = 5
"""When a caller that waited in line in vain may come again: the line has to get shorter first."""
UNREAD_SECONDS = 2
"""The same where nothing has been read yet."""


class Trials:
    """Asks a trial runner, and keeps what the caller may know."""

    def __init__(self, runner: TrialRunner, seconds: float, log: FilteringBoundLogger) -> None:
        self._runner = runner
        self._seconds = seconds
        self._log = log

    async def run(self, principal: Principal, drafts: Sequence[Draft]) -> Report:
        """What ``drafts`` would do, all together.

        Raises ``UnavailableError`` (``busy``, ``not_ready``) when nothing could be tried.
        """
        proposals = [Proposal(each.ref, each.document) for each in drafts]
        trial = await self._runner.try_out(proposals, seconds=self._seconds)
        if trial.untried is Untried.BUSY:
            raise _later("busy", "Too many changes are being tried at the moment", BUSY_SECONDS)
        if trial.untried is Untried.NOT_READY:
            why = "The resources have not been read yet, so nothing can be tried"
            raise _later("not_ready", why, UNREAD_SECONDS)
        return _report(principal, drafts, trial)

    def stored(self, refs: Iterable[ObjectRef], report: Report, options: WriteOptions) -> None:
        """Tell the log when what was stored had not been tried to its end."""
        for doubt in report.doubts:
            self._log.warning(
                "a change is stored that was not tried to its end",
                objects=[str(each) for each in refs],
                reason=doubt.reason,
                why=doubt.message,
                request_id=options.request_id,
            )


def _later(error: str, why: str, seconds: int) -> UnavailableError:
    headers = {"retry-after": str(seconds)}
    return UnavailableError(f"{why}; nothing was stored. Try again.", error=error, headers=headers)


def _report(principal: Principal, drafts: Sequence[Draft], trial: Trial) -> Report:
    proposed = {each.ref for each in drafts}
    problems = tuple(
        _problem(principal, drafts, finding, proposed)
        for finding in trial.findings
        if finding.ref is None or finding.ref in proposed or principal.sees(finding.ref.namespace)
    )
    return Report(
        problems,
        _shown(principal, trial.difference),
        trial.asked_envoy,
        trial.cached,
        redacted(principal, trial.note),
        trial.untried,
    )


def _problem(
    principal: Principal, drafts: Sequence[Draft], found: Finding, proposed: set[ObjectRef]
) -> Problem:
    pointer = found.pointer
    if found.proposal is not None and found.proposal < len(drafts):
        pointer = drafts[found.proposal].pointers.translate(pointer)
    elif found.ref is not None:
        mine = next((each for each in drafts if each.ref == found.ref), None)
        pointer = mine.pointers.translate(pointer) if mine is not None else ""
    suffers = found.ref if found.ref not in proposed else None
    return Problem(
        pointer,
        redacted(principal, found.message),
        found.reason,
        found.source.value,
        found.fatal,
        suffers,
    )


def _shown(principal: Principal, difference: Difference) -> Difference:
    if principal.namespaces is None:
        return difference
    return Difference(
        tuple(each for each in difference.objects if principal.sees(each[0].namespace)),
        tuple(each for each in difference.routes if mentions_only_own(principal, each.name)),
        tuple(each for each in difference.envoy if mentions_only_own(principal, each.name)),
    )
