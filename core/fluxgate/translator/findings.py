"""What translation finds wrong with an object, and the conditions that follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import Resource
from fluxgate.errors import FluxGateError
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason

NEVER = "\U0010ffff"

Rank = tuple[str, str, str]
"""Who wins a conflict: creation time (none is last), then namespace, then name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong. ``partial``: the rest of the object still takes part."""

    type: ConditionType
    reason: Reason
    message: str
    partial: bool = False


def invalid(message: str, reason: Reason = Reason.INVALID) -> Finding:
    """The object does not take part, or refuses what it matches."""
    return Finding(ConditionType.ACCEPTED, reason, message)


def partly(message: str, reason: Reason = Reason.PARTIALLY_ACCEPTED) -> Finding:
    """Some of the object does not take part."""
    return Finding(ConditionType.ACCEPTED, reason, message, partial=True)


def unresolved(message: str, reason: Reason = Reason.REF_NOT_FOUND) -> Finding:
    """A reference leads nowhere, or may not be followed."""
    return Finding(ConditionType.RESOLVED_REFS, reason, message)


class PolicyError(FluxGateError):
    """A policy cannot be set up on a route; never leaves the translation.

    ``path`` is that of the field in the config (``config.jwks.secretRef``), empty when ``message``
    names it already.
    """

    def __init__(self, path: str, message: str, reason: Reason = Reason.INVALID) -> None:
        self.reason = reason
        super().__init__(f"{path}: {message}" if path else message)


def rank_of(obj: Resource) -> Rank:
    """The object's place in every conflict."""
    metadata = obj.metadata
    return (metadata.creation_timestamp or NEVER, metadata.namespace, metadata.name)


def why_first(created: str, other: str) -> str:
    """Why the first of two objects is before the second, by their creation times, in words.

    A folder has no creation times, and the API server counts in seconds.
    """
    return "is older" if (created or NEVER) != (other or NEVER) else "comes first by name"


def status_of(
    ref: ObjectRef, generation: int, findings: Iterable[Finding], rejected: str | None
) -> ObjectStatus:
    """The status that ``findings`` add up to; ``rejected`` holds Envoy's words, if any."""
    listed = tuple(dict.fromkeys(findings))
    if not listed and rejected is None:
        return ObjectStatus(ref, generation, _ALL_GOOD)
    conditions = [
        _condition(ConditionType.ACCEPTED, Reason.ACCEPTED, listed),
        _condition(ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS, listed),
    ]
    if rejected is not None:
        conditions.append(
            Condition(ConditionType.PROGRAMMED, False, Reason.ENVOY_REJECTED, rejected)  # noqa: FBT003 - a condition's status
        )
    return ObjectStatus(ref, generation, tuple(conditions))


def _condition(kind: ConditionType, good: Reason, findings: tuple[Finding, ...]) -> Condition:
    mine = [each for each in findings if each.type is kind]
    message = "; ".join(each.message for each in mine)
    wrong = next((each for each in mine if not each.partial), None)
    if wrong:
        return Condition(kind, status=False, reason=wrong.reason, message=message)
    return Condition(kind, status=True, reason=mine[0].reason if mine else good, message=message)


_ALL_GOOD = (
    _condition(ConditionType.ACCEPTED, Reason.ACCEPTED, ()),
    _condition(ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS, ()),
)
"""Shared by the thousands of objects with which nothing is wrong."""
