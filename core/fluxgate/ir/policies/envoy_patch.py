"""Envoy configuration written by hand, on one route."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class PatchedFilter:
    """An HTTP filter: the type URL of its configuration, and that as canonical JSON."""

    name: str
    type_url: str
    config: str


@dataclass(frozen=True, slots=True)
class EnvoyPatch(RoutePolicy):
    """``route`` is a serialised ``envoy.config.route.v3.Route`` that is merged into the route's own."""

    filters: tuple[PatchedFilter, ...] = ()
    route: bytes = b""
