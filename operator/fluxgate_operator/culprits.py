"""Which objects make Envoy refuse a gateway: the real Envoy decides among halves of the suspects.

Used while a gateway runs (:mod:`fluxgate_operator.isolation`) and by ``fluxgate validate``.
Routes and clusters are searched first, as pieces: the one Envoy refuses by itself leads
to the object that is to blame in a second, tiny search among what the piece is made
from. What no piece explains is searched among whole objects. All translation and
building happens in threads, because the event loop belongs to the nodes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.resources import ObjectRef, Resources
from fluxgate.translator import (
    SetAside,
    TranslateCache,
    TranslateOptions,
    gateway_key,
    spec_digest,
    translate,
)
from fluxgate.xds.build import BuildCache, build_snapshot
from fluxgate.xds.static import static_bootstrap
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.mentions import made_from, narrowed
from fluxgate_operator.pieces import Piece, bootstrap_of, pieces_of
from fluxgate_operator.pipeline import SetAsides

ORDER = ("Route", "ApiKey", "Plugin", "Tenant", "Backend", "Upstream", "Secret", "Service")
"""Who refers comes before what is referred to: a prefix that holds a good route without its
bad backend is accepted, so the backend is found and not the route."""

MAX_CULPRITS = 100
_WORDS = 1000
_ACCEPTED = Validation(Verdict.OK)

Culprits = dict[ObjectRef, str]
Group = Callable[[Sequence[ObjectRef]], bool]
"""Whether something with these origins belongs to a group of suspects."""


class Validator(Protocol):
    """The real Envoy's dry run."""

    async def validate(self, bootstrap: bootstrap_v3.Bootstrap) -> Validation:
        """Whether Envoy accepts this static bootstrap."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """All objects, those set aside already, and the gateway they make."""

    resources: Resources
    set_aside: SetAsides
    gateway: Gateway

    @property
    def key(self) -> str:
        """The name the translator gives the gateway."""
        return gateway_key(self.gateway.origin)


async def first_refused(
    count: int, trial: Callable[[int, int], Awaitable[Validation]], words: str
) -> tuple[int, str]:
    """The last item of the smallest prefix of ``count`` items that Envoy refuses, and its words.

    All items together are refused, with ``words``. ``trial(low, high)`` asks about the items
    up to ``high``; those up to ``low`` are known to be accepted and may be left out where items
    do not depend on one another.
    """
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        found = await trial(low, middle)
        if found.verdict is Verdict.REJECTED:
            high, words = middle, found.message
        else:
            low = middle
    return low, words


async def find_culprits(
    world: World, validator: Validator, type_urls: Iterable[str], groups: Sequence[Group]
) -> Culprits:
    """Every object found that has to go before Envoy accepts the world, with Envoy's words.

    ``type_urls`` are the types that were rejected; ``groups`` are suspects, the likeliest
    first. Empty when a dry run accepts everything, or refuses even what cannot be left out.
    """
    for type_url in type_urls:
        pieces = await asyncio.to_thread(pieces_of, world.gateway, type_url)
        asked: list[int] = []
        for group in groups:
            suspects = [piece for piece in pieces if group(piece.origins)]
            before, asked = asked, [id(piece) for piece in suspects]
            if asked == before:
                continue
            if found := await culprits_among(world, validator, suspects):
                return found
    return await _among_objects(world, validator, groups)


async def culprits_among(
    world: World, validator: Validator, pieces: list[Piece], most: int = MAX_CULPRITS
) -> Culprits:
    """The objects because of which Envoy refuses some of ``pieces`` by themselves; at most ``most``."""

    async def ask(some: Sequence[Piece]) -> Validation:
        bootstrap = await asyncio.to_thread(bootstrap_of, world.gateway, some)
        return await validator.validate(bootstrap)

    culprits: Culprits = {}
    while pieces and len(culprits) < most:
        together = await ask(pieces)
        if together.verdict is not Verdict.REJECTED:
            break

        async def trial(low: int, high: int, among: Sequence[Piece] = pieces) -> Validation:
            return await ask(among[low:high])

        index, _ = await first_refused(len(pieces), trial, together.message)
        alone = await ask([pieces[index]])
        if alone.verdict is not Verdict.REJECTED:
            break  # refused only in company: whole objects have to be compared
        ref, words = await _to_blame(world, validator, pieces[index], alone.message)
        culprits[ref] = words[:_WORDS]
        pieces = await asyncio.to_thread(_without, world.resources, pieces, ref)
    return culprits


def _without(resources: Resources, pieces: Iterable[Piece], ref: ObjectRef) -> list[Piece]:
    """The pieces that certainly have nothing to do with ``ref``.

    Nobody refers to a Route, and a piece names the Plugins in force on it.
    """
    if ref.kind in ("Route", "Plugin"):
        return [piece for piece in pieces if ref not in piece.origins]
    return [piece for piece in pieces if ref not in made_from(resources, piece.origins)]


async def _to_blame(
    world: World, validator: Validator, piece: Piece, words: str
) -> tuple[ObjectRef, str]:
    """The object because of which Envoy refuses ``piece``: its origin, or what that refers to."""
    refs = await asyncio.to_thread(made_from, world.resources, piece.origins)
    small = _Objects(world, validator, narrowed(world.resources, {*refs, world.gateway.origin}))
    suspects = _ordered(refs)
    if (await small.ask(suspects)).ok:
        for found in (await small.search(suspects, 1)).items():
            return found
    if isinstance(piece.part, HTTPRoute):
        return piece.part.origin, words
    return _ordered(piece.origins)[-1], words


async def _among_objects(world: World, validator: Validator, groups: Sequence[Group]) -> Culprits:
    objects = _Objects(world, validator, world.resources)
    if (await objects.ask(())).verdict is not Verdict.REJECTED:
        return {}
    everything = _ordered(ref for ref, _ in world.resources)
    for group in groups:
        suspects = [ref for ref in everything if group((ref,))]
        if suspects and (await objects.ask(suspects)).ok:
            return await objects.search(suspects, MAX_CULPRITS)
    return {}


@dataclass(slots=True)
class _Objects:
    """Dry runs over some of the world's objects, leaving some of them out."""

    world: World
    validator: Validator
    resources: Resources
    _translated: TranslateCache = field(default_factory=TranslateCache)
    _built: BuildCache = field(default_factory=BuildCache)
    _digests: dict[ObjectRef, SetAside] = field(default_factory=dict)

    async def search(self, suspects: Sequence[ObjectRef], most: int) -> Culprits:
        """At most so many culprits among ``suspects``."""
        culprits: Culprits = {}
        rest = list(suspects)
        while rest and len(culprits) < most:
            together = await self.ask(culprits)
            if together.verdict is not Verdict.REJECTED:
                break

            async def trial(_: int, high: int) -> Validation:
                return await self.ask([*culprits, *rest[high:]])

            index, words = await first_refused(len(rest), trial, together.message)
            culprits[rest.pop(index)] = words[:_WORDS]
        return culprits

    async def ask(self, without: Iterable[ObjectRef]) -> Validation:
        """Envoy's verdict without some of the objects."""
        bootstrap = await asyncio.to_thread(self._bootstrap, tuple(without))
        return _ACCEPTED if bootstrap is None else await self.validator.validate(bootstrap)

    def _bootstrap(self, without: Sequence[ObjectRef]) -> bootstrap_v3.Bootstrap | None:
        aside = {**self.world.set_aside, **{ref: self._set_aside(ref) for ref in without}}
        translation = translate(self.resources, TranslateOptions(aside), self._translated)
        gateway = translation.gateways.get(self.world.key)
        return None if gateway is None else static_bootstrap(build_snapshot(gateway, self._built))

    def _set_aside(self, ref: ObjectRef) -> SetAside:
        known = self._digests.get(ref)
        if known is None:
            obj = self.resources.get(ref)
            known = SetAside("" if obj is None else spec_digest(obj), "")
            self._digests[ref] = known
        return known


def set_asides(resources: Resources, culprits: Mapping[ObjectRef, str]) -> SetAsides:
    """The culprits as the translator takes them."""
    return {
        ref: SetAside(spec_digest(obj), words)
        for ref, words in culprits.items()
        if (obj := resources.get(ref)) is not None
    }


def _ordered(refs: Iterable[ObjectRef]) -> list[ObjectRef]:
    ranks = {kind: rank for rank, kind in enumerate(ORDER)}
    return sorted(
        (ref for ref in refs if ref.kind in ranks), key=lambda ref: (ranks[ref.kind], ref)
    )
