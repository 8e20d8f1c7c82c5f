"""The real Envoy's word on what a trial changes, and only on that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate.ports import Finding, FindingSource, Proposal, Untried
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.status import Reason
from fluxgate.xds import typeurl
from fluxgate.xds.static import static_bootstrap
from fluxgate_operator.culprits import Validator, World, culprits_among
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.pieces import Piece, tables_of
from fluxgate_operator.pipeline import SetAsides
from fluxgate_operator.trial.changes import GatewayChange
from fluxgate_operator.trial.pointers import quoted_in
from fluxgate_operator.trial.workbench import Outcome
from fluxgate_operator.vetting import has_code

MOST_CULPRITS = 8
"""How many objects one trial names as those that Envoy refuses: each takes a dozen questions."""
_UNLOADED = "EnvoyUnavailable"


@dataclass(slots=True)
class Answer:
    """What Envoy said so far; whoever stops waiting has it.

    ``suspects`` are findings that hold unless Envoy has the time to clear them: code that it is loading, and
    everybody while it is not known whom a refusal concerns. ``notes`` say what it could not be asked, and
    ``untried`` why. ``remembered`` has an entry for each question that it answered.
    """

    findings: list[Finding] = field(default_factory=list)
    suspects: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untried: Untried | None = None
    remembered: list[bool] = field(default_factory=list)

    @property
    def asked(self) -> bool:
        """Whether it has answered all it was asked."""
        return bool(self.remembered) and self.untried is None


class EnvoyQuestion:
    """Puts together what changed, asks, and finds out whom a refusal concerns."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    async def ask(
        self,
        changes: Sequence[GatewayChange],
        outcome: Outcome,
        set_aside: SetAsides,
        proposals: Sequence[Proposal],
        answer: Answer,
    ) -> None:
        """Envoy's ``answer`` about every gateway that would change."""
        for change in changes:
            code = _authors_of_code(change, proposals)
            answer.suspects = _unloaded(code, "Envoy has not answered in time", proposals)
            bootstrap = await asyncio.to_thread(_bootstrap, change)
            found = await self._validator.validate(bootstrap)
            if found.verdict is Verdict.REJECTED:
                answer.suspects = _all_refused(found, proposals)
                world = World(outcome.resources, set_aside, change.gateway)
                answer.findings += await self._blamed(world, change, found, proposals)
            elif found.verdict is Verdict.UNKNOWN:
                answer.untried = Untried.NO_ENVOY if found.absent else Untried.ENVOY_SILENT
                answer.findings += _unloaded(code, found.message, proposals)
                words = f"Envoy could not check the gateway {change.name}: {found.message}"
                answer.notes.append(words)
            answer.suspects = []
            if found.verdict is not Verdict.UNKNOWN:
                answer.remembered.append(found.remembered)

    async def _blamed(
        self,
        world: World,
        change: GatewayChange,
        found: Validation,
        proposals: Sequence[Proposal],
    ) -> list[Finding]:
        if len(proposals) == 1:
            return _findings(_all(proposals), found.message, proposals)
        culprits: dict[ObjectRef, str] = {}
        for pieces in _pieces(change):
            if pieces:
                culprits |= await culprits_among(world, self._validator, pieces, MOST_CULPRITS)
        if not culprits:
            return _all_refused(found, proposals)
        return [
            each for ref, words in culprits.items() for each in _findings([ref], words, proposals)
        ]


def _all(proposals: Iterable[Proposal]) -> list[ObjectRef]:
    """Everyone who may be to blame when nobody can be told apart."""
    return [each.ref for each in proposals if each.document is not None]


def _all_refused(found: Validation, proposals: Sequence[Proposal]) -> list[Finding]:
    words = found.message
    if len(proposals) > 1:
        words += f" (which of these {len(proposals)} changes it means was not found)"
    return _findings(_all(proposals), words, proposals)


def _authors_of_code(change: GatewayChange, proposals: Sequence[Proposal]) -> list[ObjectRef]:
    """The proposals that code in changed routes comes from; all, where it was there and is only let in now."""
    routes = [route for route in change.routes if has_code(route)]
    if not routes:
        return []
    origins = {ref for route in routes for ref in route.made_from}
    everyone = _all(proposals)
    return [ref for ref in everyone if ref in origins] or everyone


def _unloaded(
    refs: Sequence[ObjectRef], words: str, proposals: Sequence[Proposal]
) -> list[Finding]:
    """Code that Envoy did not load: no gateway gets it, so it is not accepted."""
    told = f"{words}; code that Envoy has not loaded is not served"
    return [
        replace(each, message=told, reason=_UNLOADED) for each in _findings(refs, "", proposals)
    ]


def _pieces(change: GatewayChange) -> tuple[list[Piece], list[Piece]]:
    names = {each.name for each in change.resources if each.type_url == typeurl.CLUSTER}
    clusters = [each for each in change.gateway.clusters if each.name in names]
    return (
        [Piece(route, route.made_from) for route in change.routes],
        [Piece(cluster, cluster.origins) for cluster in clusters],
    )


def _findings(
    refs: Iterable[ObjectRef], words: str, proposals: Sequence[Proposal]
) -> list[Finding]:
    places = {each.ref: index for index, each in enumerate(proposals)}
    found = []
    for ref in refs:
        index = places.get(ref)
        document = (proposals[index].document or {}) if index is not None else {}
        found.append(
            Finding(
                FindingSource.ENVOY,
                ref,
                quoted_in(words, document),
                f"Envoy rejects it: {words}",
                reason=Reason.ENVOY_REJECTED,
                proposal=index,
            )
        )
    return found


def _bootstrap(change: GatewayChange) -> bootstrap_v3.Bootstrap:
    """Changed routes in their tables, changed resources, and what those cannot do without."""
    kept: dict[tuple[str, str], SnapshotResource] = {}
    waiting = [*change.resources, *_users_of_endpoints(change)]
    while waiting:
        resource = waiting.pop()
        if (key := (resource.type_url, resource.name)) in kept:
            continue
        kept[key] = resource
        for url, name in resource.references:
            found = change.snapshot.of_type(url).get(name) if url != typeurl.ROUTE else None
            if found is not None:
                waiting.append(found)
    tables = tables_of(change.gateway, {id(route) for route in change.routes})
    return static_bootstrap(Snapshot.of((*kept.values(), *tables)))


def _users_of_endpoints(change: GatewayChange) -> list[SnapshotResource]:
    """A cluster for each pool whose endpoints change: without one, nobody looks at them."""
    pools = {
        (each.type_url, each.name) for each in change.resources if each.type_url == typeurl.ENDPOINT
    }
    found = []
    for cluster in change.snapshot.of_type(typeurl.CLUSTER).values() if pools else ():
        if not pools.isdisjoint(cluster.references):
            pools -= cluster.references
            found.append(cluster)
    return found
