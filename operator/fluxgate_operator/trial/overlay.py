"""Proposals laid over the world as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import Resource
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.ports import Finding, FindingSource, Proposal
from fluxgate.resources import Object, ObjectRef, Resources, ref_of
from fluxgate_operator.trial.pointers import pointer_of

Adjust = Callable[[Object], Object]
"""What a provider makes of an object before the store sees it."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What would be there instead: None deletes. ``findings`` are what the models refuse."""

    objects: Mapping[ObjectRef, Resource | None]
    findings: tuple[Finding, ...] = ()

    def over(self, base: Resources, more: Iterable[Object], revision: int) -> Resources:
        """``base`` with the proposals, and with ``more`` that they refer to.

        Caches know bundles by ``revision``: it has to be one that no other bundle has.
        """
        changed: dict[ObjectRef, Object | None] = {**self.objects}
        changed |= {ref_of(each): each for each in more}
        objects = dict(base.objects)
        for kind in {ref.kind for ref in changed}:
            merged = dict(base.objects.get(kind, {}))
            for ref, obj in changed.items():
                if ref.kind != kind:
                    continue
                if obj is None:
                    merged.pop(ref, None)
                else:
                    merged[ref] = obj
            objects[kind] = MappingProxyType(merged)
        return Resources(MappingProxyType(objects), revision, base.revision, frozenset(changed))


@dataclass(slots=True)
class _Reading:
    base: Resources
    adjust: Adjust
    objects: dict[ObjectRef, Resource | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_proposals(base: Resources, proposals: Sequence[Proposal], adjust: Adjust) -> Overlay:
    """The proposals as objects. Never raises for what they hold."""
    reading = _Reading(base, adjust)
    for index, proposal in enumerate(proposals):
        _read(reading, index, proposal)
    return Overlay(MappingProxyType(reading.objects), tuple(reading.findings))


def _read(reading: _Reading, index: int, proposal: Proposal) -> None:
    if proposal.document is None:
        reading.objects[proposal.ref] = None
        return
    problems: Sequence[FieldProblem] = ()
    try:
        obj = parse_object(proposal.document)
        if not isinstance(obj, Resource):
            problems = (FieldProblem("kind", "is none of FluxGate's kinds"),)
        elif ref_of(obj) != proposal.ref:
            problems = (FieldProblem("metadata.name", f"is not that of {proposal.ref}"),)
        else:
            adjusted = reading.adjust(_as_stored(obj, reading.base))
            assert isinstance(adjusted, Resource)
            reading.objects[proposal.ref] = adjusted
    except ResourceError as error:
        problems = error.problems
    reading.findings += [
        Finding(
            FindingSource.SCHEMA,
            proposal.ref,
            pointer_of(each.path, proposal.document),
            str(each),
            reason="Invalid",
            proposal=index,
        )
        for each in problems
    ]


def _as_stored(obj: Resource, base: Resources) -> Resource:
    """With the identity it has already: its age decides conflicts, whoever writes it."""
    before = base.get(ref_of(obj))
    if not isinstance(before, Resource):
        return obj.model_copy(
            update={"metadata": obj.metadata.model_copy(update={"creation_timestamp": ""})}
        )
    known = before.metadata
    update = {
        "uid": known.uid,
        "generation": known.generation,
        "creation_timestamp": known.creation_timestamp,
    }
    return obj.model_copy(update={"metadata": obj.metadata.model_copy(update=update)})
