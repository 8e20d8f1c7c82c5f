"""Code and raw configuration of policies, tried by the real Envoy before any gateway gets it.

A rejection (NACK) keeps what an Envoy serves, but an Envoy that starts meanwhile has nothing to keep,
and a script that never ends when it is loaded would hold up every Envoy instead of being rejected.
So whatever lets users write code or Envoy's own configuration is tried in a dry run first, once for
each content; what Envoy refuses, or does not get done with, is set aside before it is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Gateway, HTTPRoute, RoutePolicy
from fluxgate.ir.policies.envoy_patch import EnvoyPatch
from fluxgate.ir.policies.grpc import GrpcJson
from fluxgate.ir.policies.lua import Lua
from fluxgate.ir.policies.wasm import Wasm
from fluxgate.resources import Resources
from fluxgate_operator.culprits import (
    Culprits,
    Validator,
    World,
    culprits_among,
    set_asides,
)
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.pieces import Piece, bootstrap_of
from fluxgate_operator.pipeline import SetAsides

TRIED = (EnvoyPatch, Lua, Wasm, GrpcJson)


class _Strict:
    """A validator that refuses what Envoy does not get done with."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    async def validate(self, bootstrap: bootstrap_v3.Bootstrap) -> Validation:
        found = await self._validator.validate(bootstrap)
        if found.verdict is Verdict.UNKNOWN:
            return Validation(Verdict.REJECTED, found.message)
        return found


class Vetting:
    """Remembers what was accepted; equal policies are tried once, however many routes have them."""

    def __init__(self, validator: Validator, log: FilteringBoundLogger) -> None:
        self._validator = validator
        self._log = log
        self._accepted: frozenset[RoutePolicy] = frozenset()
        self._seen: dict[str, Gateway] = {}

    def pending(self, gateways: Mapping[str, Gateway]) -> bool:
        """Whether something in ``gateways`` has not been tried yet."""
        return any(self._untried(name, each) for name, each in gateways.items())

    async def check(
        self, resources: Resources, set_aside: SetAsides, gateways: Mapping[str, Gateway]
    ) -> SetAsides:
        """Objects to set aside, besides those that are."""
        culprits: Culprits = {}
        for name, gateway in gateways.items():
            pieces = self._untried(name, gateway)
            if pieces:
                culprits |= await self._try(World(resources, set_aside, gateway), pieces)
        for ref, words in culprits.items():
            self._log.error(
                "envoy refuses an object in a dry run; it is set aside",
                subject=str(ref),
                envoy_says=words,
            )
        in_use = {policy for each in gateways.values() for _, policy in _tried(each)}
        self._accepted &= in_use
        return set_asides(resources, culprits)

    def _untried(self, name: str, gateway: Gateway) -> list[Piece]:
        """A piece for each policy that is new; none of a gateway that was looked through."""
        if self._seen.get(name) is gateway:
            return []
        new: dict[RoutePolicy, Piece] = {}
        for route, policy in _tried(gateway):
            if policy not in self._accepted and policy not in new:
                new[policy] = Piece(route, route.made_from)
        if not new:
            self._seen[name] = gateway
        return list({id(piece.part): piece for piece in new.values()}.values())

    async def _try(self, world: World, pieces: list[Piece]) -> Culprits:
        empty = await self._validator.validate(bootstrap_of(world.gateway, ()))
        culprits: Culprits = {}
        if empty.ok:
            culprits = await culprits_among(world, _Strict(self._validator), pieces)
        else:
            self._log.warning(
                "policies with code are published without a dry run", reason=empty.message
            )
        good = [piece for piece in pieces if culprits.keys().isdisjoint(piece.origins)]
        self._accepted |= {
            policy
            for piece in good
            if isinstance(piece.part, HTTPRoute)
            for policy in _of(piece.part)
        }
        return culprits


def has_code(route: HTTPRoute) -> bool:
    """Whether a route has a policy in which users write code or Envoy's own configuration."""
    return bool(_of(route))


def _tried(gateway: Gateway) -> Iterator[tuple[HTTPRoute, RoutePolicy]]:
    for table in gateway.route_tables:
        for host in table.virtual_hosts:
            for route in host.routes:
                if route.policies:
                    yield from ((route, policy) for policy in _of(route))


def _of(route: HTTPRoute) -> Iterable[RoutePolicy]:
    return [each for each in route.policies if isinstance(each, TRIED)]
