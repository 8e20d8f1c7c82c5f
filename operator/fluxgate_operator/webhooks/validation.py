"""What translation would say about an object, before it is stored.

Refused is what is wrong whatever else arrives: the object itself, a host its tenant may not use, a
match or key that another holds. References that lead nowhere yet are warnings, because objects
arrive in any order; so is a complaint that the stored object gives cause for already, so that
it can be repaired step by step. The messages are those of ``fluxgate validate``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fluxgate.api.parse import parse_object
from fluxgate.errors import ResourceError
from fluxgate.resources import Object, ObjectRef, Resources, ref_of
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate.translator import TranslateCache, TranslateOptions, translate

REFUSED = frozenset(
    {Reason.INVALID, Reason.CONFLICTED, Reason.HOST_NOT_ALLOWED, Reason.UNSUPPORTED_TYPE}
)


_LATE = re.compile(
    r"(?:; )?[\w.\[\]]+: (?:Service|Secret) \S+ does not exist; create it(?: or correct the name)?"
)
"""Services and Secrets are known only once a stored object refers to them, so that a new one is
told nothing of those it brings up first; its status will say it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``refused`` is empty when the object may be stored.

    ``early``: a reference leads nowhere yet, and is among the warnings.
    """

    refused: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def early(self) -> bool:
        """Whether a later look may find what is missing now."""
        return not self.refused and any(
            each.startswith(str(Reason.REF_NOT_FOUND)) for each in self.warnings
        )


@dataclass(slots=True)
class Validator:
    """Translates the world as it would be; the cost is that of what changed since the last time.

    Not for several threads at once.
    """

    exposes: bool = True
    _cache: TranslateCache = field(default_factory=TranslateCache)

    def judge(self, document: Mapping[str, Any], world: Resources) -> Judgement:
        """Whether ``document`` may be stored beside what ``world`` holds."""
        try:
            obj = parse_object(document)
        except ResourceError as error:
            return Judgement(refused=str(error))
        ref = ref_of(obj)
        status = self._status(ref, _world_with(obj, world))
        if status is None:
            return Judgement()
        wrong = [each for each in status.conditions if not each.status]
        partial = [
            each
            for each in status.conditions
            if each.status and each.reason is Reason.PARTIALLY_ACCEPTED
        ]
        warnings = tuple(
            f"{each.reason}: {said}"
            for each in (*wrong, *partial)
            if (said := _LATE.sub("", each.message).removeprefix("; "))
        )
        accepted = _refusal(wrong)
        if accepted is None:
            return Judgement(warnings=warnings)
        before = self._status(ref, world) if world.get(ref) is not None else None
        if before is not None and accepted.reason in {
            each.reason for each in before.conditions if not each.status
        }:
            return Judgement(warnings=warnings)
        return Judgement(refused=f"{accepted.reason}: {accepted.message}")

    def _status(self, ref: ObjectRef, world: Resources) -> ObjectStatus | None:
        options = TranslateOptions(exposes=self.exposes)
        return translate(world, options, self._cache).statuses.get(ref)


def _refusal(wrong: list[Condition]) -> Condition | None:
    types = {each.type: each for each in wrong}
    if ConditionType.RESOLVED_REFS in types:
        return None  # the rest may follow from that
    found = types.get(ConditionType.ACCEPTED)
    return found if found is not None and found.reason in REFUSED else None


def _world_with(obj: Object, world: Resources) -> Resources:
    ref = ref_of(obj)
    kind = MappingProxyType({**world.objects.get(ref.kind, {}), ref: obj})
    # of a revision and base that no other world has, so that caches compare object by object
    return Resources(MappingProxyType({**world.objects, ref.kind: kind}), -3, -2)
