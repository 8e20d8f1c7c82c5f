"""Limits put on a route: slots of their own, buckets shared by name, and who counts exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fluxgate.ir import Shared
from fluxgate.ir.policies.rate_limit import (
    LimitBucket,
    RouteLimits,
    Slot,
    SlotUse,
)
from fluxgate.status import Reason
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies


@dataclass(frozen=True, slots=True)
class Counted:
    """A bucket still without its place among those of the route; ``path`` names it to people."""

    bucket: LimitBucket
    path: str


def add_limits(
    policies: Policies, counted: Sequence[Counted], rejected_code: int, context: Context
) -> Policies:
    """``policies`` with these limits besides those it has.

    Raises :class:`~fluxgate.translator.findings.PolicyError` when Redis is to count and the gateway has no
    rate limit service, or two policies of the route want to refuse in different ways.
    """
    before = _limits_of(policies)
    if before is not None and rejected_code != before.rejected_code:
        raise PolicyError(
            "config.rejectedCode",
            f"another limit of the route refuses with {before.rejected_code}; give both the same",
        )
    if not counted and before is None and rejected_code == 429:
        return policies
    limits = before or RouteLimits(rejected_code=rejected_code)
    taken = {False: list(limits.local), True: list(limits.exact)}
    shared: list[Shared] = []
    for each in counted:
        if each.bucket.exact and context.scope.rate_limit_service is None:
            raise PolicyError(
                f"{each.path}.policy",
                f"Redis needs spec.rateLimitService of {context.scope.ref}; set it, or use Local",
                Reason.REF_NOT_FOUND,
            )
        mine = taken[each.bucket.exact]
        slot, bucket = _free_slot(each.bucket.slot, mine), _named(each.bucket)
        mine.append((slot.key, bucket.name))
        shared += [bucket, SlotUse(slot.key, context.scope.ref, slot, bucket.exact)]
    after = RouteLimits(tuple(taken[False]), tuple(taken[True]), rejected_code)
    others = tuple(each for each in policies.on_route if each is not before)
    return replace(policies, on_route=others).adding(after, shared=tuple(shared))


def _limits_of(policies: Policies) -> RouteLimits | None:
    return next((each for each in policies.on_route if isinstance(each, RouteLimits)), None)


def _free_slot(kind: Slot, taken: Sequence[tuple[str, str]]) -> Slot:
    """The first slot of the kind in which the route has no limit yet."""
    kinds = Counter(key.rpartition(".")[0] for key, _ in taken)
    return replace(kind, index=kinds[kind.key.rpartition(".")[0]])


def _named(bucket: LimitBucket) -> LimitBucket:
    """The bucket with a name that tells it from those counted otherwise."""
    counter = "redis" if bucket.exact else "local"
    kind = bucket.slot.key.rpartition(".")[0]
    return replace(bucket, name=f"{bucket.name}:{kind}:{counter}")
