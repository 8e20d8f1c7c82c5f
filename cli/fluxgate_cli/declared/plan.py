"""What has to be done so that an API has what a folder says. Pure.

Objects belong to a set by a label. A set is what one folder declares; objects of other sets are never touched,
and nothing is deleted that does not belong to the set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.batch_order import rank_of
from fluxgate_admin.use_cases.documents import equal
from fluxgate_cli.declared.present import Present

MANAGED_BY = "gateway.fluxgate.io/managed-by"
"""The label of a set."""


class Action(StrEnum):
    """What is to be done with an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    KEEP = "unchanged"
    EXTRA = "extra"
    """It belongs to the set and is not in the folder; only --prune deletes it."""
    FOREIGN = "foreign"
    """It belongs to another set."""

    @property
    def writes(self) -> bool:
        """Whether there is something to send."""
        return self in (Action.CREATE, Action.UPDATE, Action.DELETE)


@dataclass(frozen=True, slots=True)
class Step:
    """One object: from ``before`` to ``after``. ``etag`` is the version seen, empty where there was none."""

    ref: ObjectRef
    action: Action
    before: Document | None
    after: Document | None
    etag: str = ""
    place: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a plan is made; ``set_name`` None leaves labels alone, and deletes nothing."""

    set_name: str | None = None
    prune: bool = False
    take_over: bool = False


def make_plan(
    wanted: Mapping[ObjectRef, Document],
    present: Mapping[ObjectRef, Present],
    wishes: Wishes,
    places: Mapping[ObjectRef, str] | None = None,
) -> tuple[Step, ...]:
    """Every step in the order it is made: what others need first, deletions last and the other way round."""
    steps = [
        *_wanted_steps(wanted, present, wishes, places or {}),
        *_extra_steps(wanted, present, wishes),
    ]
    return tuple(sorted(steps, key=lambda each: (rank_of(each.ref.kind, each.after), each.ref)))


def owner_of(document: Document) -> str:
    """The set an object belongs to; empty for none."""
    labels = (document.get("metadata") or {}).get("labels") or {}
    return str(labels.get(MANAGED_BY) or "")


def _wanted_steps(
    wanted: Mapping[ObjectRef, Document],
    present: Mapping[ObjectRef, Present],
    wishes: Wishes,
    places: Mapping[ObjectRef, str],
) -> Iterator[Step]:
    for ref, document in wanted.items():
        place = places.get(ref, "")
        after = _owned(document, wishes.set_name)
        there = present.get(ref)
        if there is None:
            yield Step(ref, Action.CREATE, None, after, place=place)
            continue
        owner = owner_of(there.document)
        if owner and owner != owner_of(after) and not wishes.take_over:
            action = Action.FOREIGN
        elif equal(there.document, after):
            action = Action.KEEP
        else:
            action = Action.UPDATE
        yield Step(ref, action, there.document, after, there.etag, place, owner)


def _extra_steps(
    wanted: Mapping[ObjectRef, Document], present: Mapping[ObjectRef, Present], wishes: Wishes
) -> Iterator[Step]:
    if wishes.set_name is None:
        return
    action = Action.DELETE if wishes.prune else Action.EXTRA
    for ref, there in present.items():
        if ref not in wanted and owner_of(there.document) == wishes.set_name:
            yield Step(ref, action, there.document, None, there.etag, owner=wishes.set_name)


def _owned(document: Document, set_name: str | None) -> Document:
    if set_name is None:
        return document
    metadata = document["metadata"]
    labels = {**(metadata.get("labels") or {}), MANAGED_BY: set_name}
    return {**document, "metadata": {**metadata, "labels": labels}}


def in_batches(
    steps: Sequence[Step], most: int, size: int, cost: Mapping[ObjectRef, int]
) -> Iterator[list[Step]]:
    """``steps`` in their order, at most ``most`` and ``size`` bytes together, but at least one."""
    batch: list[Step] = []
    used = 0
    for each in steps:
        if batch and (len(batch) == most or used + cost[each.ref] > size):
            yield batch
            batch, used = [], 0
        batch.append(each)
        used += cost[each.ref]
    if batch:
        yield batch
