"""From what we know of an object to the patch its status needs: pure, and quick.

Conditions as meta/v1 Condition, named as the Gateway API does: ``lastTransitionTime`` moves only
when ``status`` does. Types of conditions and keys of the status that are not ours stay as they
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.kube.client import Document
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts

MAX_MESSAGE = 32_768
"""meta/v1 Condition: the longest message."""

_OURS = frozenset(str(each) for each in ConditionType)


class Urgency(Enum):
    """When a status has to be written."""

    NEVER = "nothing to write"
    NOW = "now"
    PENDING = "unless the nodes get there soon"
    LOST = "unless the nodes come back soon"


@dataclass(frozen=True, slots=True)
class Change:
    """The ``status`` part of a merge patch (RFC 7386), and how urgent it is."""

    urgency: Urgency
    status: Mapping[str, Any]


NOTHING = Change(Urgency.NEVER, {})


def invalid_status(facts: ObjectFacts) -> ObjectStatus:
    """The status of an object that our models cannot read: every problem, each with its field."""
    words = "; ".join(str(problem) for problem in facts.problems)
    return ObjectStatus(
        facts.ref,
        facts.generation,
        (
            Condition(ConditionType.ACCEPTED, status=False, reason=Reason.INVALID, message=words),
            Condition(
                ConditionType.PROGRAMMED,
                status=False,
                reason=Reason.INVALID,
                message="not part of the configuration",
            ),
        ),
    )


def change_of(
    seen: Mapping[str, Any],
    wanted: ObjectStatus,
    now: str,
    extras: Mapping[str, Any] | None = None,
) -> Change:
    """What has to be patched for ``seen`` to say ``wanted``; ``now`` is RFC 3339.

    ``extras`` are more fields of the status; None as a value takes a field away. An older
    generation never overwrites what was written for a newer one.
    """
    before = _by_type(seen.get("conditions"))
    observed = seen.get("observedGeneration")
    if isinstance(observed, int) and observed > wanted.observed_generation:
        return NOTHING
    conditions = [_condition(each, before, wanted, now) for each in wanted.conditions]
    patch: dict[str, Any] = {}
    if observed != wanted.observed_generation:
        patch["observedGeneration"] = wanted.observed_generation
    ours = [each for name, each in before.items() if name in _OURS]
    if conditions != ours:
        foreign = [each for name, each in before.items() if name not in _OURS]
        patch["conditions"] = [*conditions, *foreign]
    patch |= {key: value for key, value in (extras or {}).items() if seen.get(key) != value}
    if not patch:
        return NOTHING
    return Change(_urgency(before, wanted, patch, extras), patch)


def patch_of(facts: ObjectFacts, change: Change, version: str) -> Document:
    """The merge patch for ``/status``; refused (409) unless the object still is ``version``."""
    return {
        "metadata": {"uid": facts.uid, "resourceVersion": version},
        "status": dict(change.status),
    }


def _by_type(conditions: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(conditions, list | tuple):
        return {}
    return {each["type"]: each for each in conditions if isinstance(each, Mapping)}


def _condition(
    condition: Condition, before: Mapping[str, Mapping[str, Any]], wanted: ObjectStatus, now: str
) -> dict[str, Any]:
    status = "True" if condition.status else "False"
    known = before.get(condition.type)
    since = known.get("lastTransitionTime") if known and known.get("status") == status else None
    return {
        "type": str(condition.type),
        "status": status,
        "reason": str(condition.reason),
        "message": _bounded(condition.message),
        "observedGeneration": wanted.observed_generation,
        "lastTransitionTime": since or now,
    }


def _bounded(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def _urgency(
    before: Mapping[str, Mapping[str, Any]],
    wanted: ObjectStatus,
    patch: Mapping[str, Any],
    extras: Mapping[str, Any] | None,
) -> Urgency:
    programmed = _programmed(wanted.conditions)
    if (
        programmed is None
        or programmed.status
        or programmed.reason is not Reason.PENDING
        or not wanted.accepted
        or any(key in patch for key in extras or ())
    ):
        return Urgency.NOW
    known = before.get(ConditionType.PROGRAMMED, {})
    current = known.get("observedGeneration") == wanted.observed_generation
    if known.get("status") == "True" and current:
        return Urgency.LOST
    return Urgency.PENDING


def _programmed(conditions: Iterable[Condition]) -> Condition | None:
    return next((each for each in conditions if each.type is ConditionType.PROGRAMMED), None)
