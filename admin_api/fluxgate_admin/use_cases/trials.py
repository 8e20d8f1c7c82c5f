"""Dry runs for one caller: what others own is neither shown nor counted."""

from __future__ import annotations

from collections.abc import Sequence

from fluxgate.ports import Difference, Finding, Proposal, Trial, TrialRunner
from fluxgate.resources import ObjectRef
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.drafts import Draft, Problem, Report
from fluxgate_admin.use_cases.sight import mentions_only_own, redacted


class Trials:
    """Asks a trial runner, and keeps what the caller may know."""

    def __init__(self, runner: TrialRunner, seconds: float) -> None:
        self._runner = runner
        self._seconds = seconds

    async def run(self, principal: Principal, drafts: Sequence[Draft]) -> Report:
        """What ``drafts`` would do, all together."""
        proposals = [Proposal(each.ref, each.document) for each in drafts]
        trial = await self._runner.try_out(proposals, seconds=self._seconds)
        return _report(principal, drafts, trial)


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
