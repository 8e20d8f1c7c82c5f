"""How fast the bodies of a route may flow."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Bandwidth(RoutePolicy):
    """KiB a second of all requests of a route together, in every Envoy by itself."""

    kib_per_second: int
    requests: bool = False
    responses: bool = True
    fill_interval_ms: int = 50
