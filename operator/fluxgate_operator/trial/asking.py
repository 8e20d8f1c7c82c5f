"""The real Envoy's word on what a trial changes, and only on that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate.ports import Finding, FindingSource, Proposal
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What Envoy said of everything. ``note`` says what it could not be asked."""

    findings: tuple[Finding, ...] = ()
    asked: bool = False
    cached: bool = False
    note: str = ""


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
    ) -> Answer:
        """Envoy's answer about every gateway that would change."""
        findings: list[Finding] = []
        notes: list[str] = []
        told: list[bool] = []
        for change in changes:
            bootstrap = await asyncio.to_thread(_bootstrap, change)
            found = await self._validator.validate(bootstrap)
            if found.verdict is Verdict.REJECTED:
                world = World(outcome.resources, set_aside, change.gateway)
                findings += await self._blamed(world, change, found, proposals)
            elif found.verdict is Verdict.UNKNOWN and any(map(has_code, change.routes)):
                words = f"{found.message}; code that does not load in time is not served"
                findings += _findings(_all(proposals), words, proposals)
            elif found.verdict is Verdict.UNKNOWN:
                notes.append(f"Envoy could not check the gateway {change.name}: {found.message}")
                continue
            told.append(found.remembered)
        return Answer(
            tuple(dict.fromkeys(findings)),
            asked=bool(told),
            cached=bool(told) and all(told),
            note="; ".join(notes),
        )

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
                culprits |= await culprits_among(world, self._validator, pieces)
        if not culprits:
            return _findings(_all(proposals), found.message, proposals)
        return [
            each for ref, words in culprits.items() for each in _findings([ref], words, proposals)
        ]


def _all(proposals: Iterable[Proposal]) -> list[ObjectRef]:
    """Everyone who may be to blame when nobody can be told apart."""
    return [each.ref for each in proposals if each.document is not None]


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
