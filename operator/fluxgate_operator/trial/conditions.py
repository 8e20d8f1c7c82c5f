"""What translation finds wrong with proposals, and with objects that suffer from them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fluxgate.difference import fresh
from fluxgate.ports import Finding, FindingSource, Proposal
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.trial.pointers import messages_of, pointer_in, quoted_in

_GOOD = frozenset({Reason.ACCEPTED, Reason.RESOLVED_REFS, Reason.PROGRAMMED, Reason.EXPOSED})
_ONLY_TOLD = frozenset({Reason.PARTIALLY_ACCEPTED, Reason.DISABLED})
"""Worth reading, no reason to refuse: a field without effect, an object switched off on purpose."""
_TAKEN = re.compile(
    r"^spec\.matches\[\d+\]: (?P<claim>.+) is already claimed by (?P<by>.+?), which "
)


def condition_findings(
    proposals: Sequence[Proposal],
    before: Mapping[ObjectRef, ObjectStatus],
    after: Mapping[ObjectRef, ObjectStatus],
) -> Iterator[Finding]:
    """Of the proposals whatever is not well; of others what was well before."""
    proposed = {each.ref for each in proposals}
    for index, proposal in enumerate(proposals):
        status = after.get(proposal.ref)
        if status is not None and proposal.document is not None:
            for condition in status.conditions:
                yield from _own(index, proposal, condition)
    deleted = any(each.document is None for each in proposals)
    for status in fresh(after.values(), before.values()):
        if status.ref not in proposed:
            old = before.get(status.ref)
            if taking := list(_taking(proposals, old, status)):
                yield from taking
            else:
                yield from _suffering(old, status, deleted=deleted)


def _own(index: int, proposal: Proposal, condition: Condition) -> Iterator[Finding]:
    if condition.reason in _GOOD:
        return
    document = proposal.document or {}
    by_envoy = condition.type is ConditionType.PROGRAMMED
    messages = [condition.message] if by_envoy else messages_of(condition.message)
    for message in messages:
        place = quoted_in(message, document) if by_envoy else pointer_in(message, document)
        yield Finding(
            FindingSource.ENVOY if by_envoy else FindingSource.TRANSLATION,
            proposal.ref,
            place,
            message,
            reason=condition.reason,
            fatal=condition.reason not in _ONLY_TOLD,
            proposal=index,
        )


def _taking(
    proposals: Sequence[Proposal], before: ObjectStatus | None, after: ObjectStatus
) -> Iterator[Finding]:
    """Claims that proposals would take from an object that has them.

    Ages decide between objects that are there, and names between those of one age, as all files of a folder
    are. Neither lets a change take away what another serves already, whether or not its author sees the other.
    """
    known = set(_said_of_acceptance(before)) if before is not None else set()
    by_name = {str(each.ref): (index, each) for index, each in enumerate(proposals)}
    for message in _said_of_acceptance(after):
        taken = _TAKEN.match(message)
        if taken is None or message in known or taken["by"] not in by_name:
            continue
        index, proposal = by_name[taken["by"]]
        yield Finding(
            FindingSource.TRANSLATION,
            proposal.ref,
            f"/spec/matches/{_match_of(proposal, taken['claim'])}",
            f"{taken['claim']} is already claimed by {after.ref}; change the match or the priority",
            reason=Reason.CONFLICTED,
            proposal=index,
        )


def _said_of_acceptance(status: ObjectStatus) -> Iterator[str]:
    for each in status.conditions:
        if each.type is ConditionType.ACCEPTED:
            yield from messages_of(each.message)


def _match_of(proposal: Proposal, claim: str) -> int:
    """Which match of a proposal claims ``claim`` (``Prefix /orders on host *``); the first, if that cannot be told."""
    spec = (proposal.document or {}).get("spec")
    matches = spec.get("matches") if isinstance(spec, Mapping) else None
    for index, match in enumerate(matches if isinstance(matches, Sequence) else ()):
        path = match.get("path") if isinstance(match, Mapping) else None
        if isinstance(path, Mapping) and f" {path.get('value')} on host " in claim:
            return index
    return 0


def _suffering(
    before: ObjectStatus | None, after: ObjectStatus, *, deleted: bool
) -> Iterator[Finding]:
    """Conditions of an object nobody proposed that were well, and are not any more.

    That what refers to a deleted object does not find it is what was asked for.
    """
    known = {each.type: each for each in before.conditions} if before is not None else {}
    for condition in after.conditions:
        old = known.get(condition.type)
        if condition.status or condition.reason in _ONLY_TOLD or (old and not old.status):
            continue
        yield Finding(
            FindingSource.TRANSLATION,
            after.ref,
            "",
            condition.message,
            reason=condition.reason,
            fatal=not (deleted and condition.type is ConditionType.RESOLVED_REFS),
        )
