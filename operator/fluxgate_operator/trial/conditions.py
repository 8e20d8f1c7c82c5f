"""What translation finds wrong with proposals, and with objects that suffer from them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fluxgate.difference import fresh
from fluxgate.ports import Finding, FindingSource, Proposal
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.trial.pointers import messages_of, pointer_in, quoted_in

_GOOD = frozenset({Reason.ACCEPTED, Reason.RESOLVED_REFS, Reason.PROGRAMMED, Reason.EXPOSED})
_ONLY_TOLD = frozenset({Reason.PARTIALLY_ACCEPTED, Reason.DISABLED})
"""Worth reading, no reason to refuse: a field without effect, an object switched off on purpose."""


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
            yield from _suffering(before.get(status.ref), status, deleted=deleted)


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
