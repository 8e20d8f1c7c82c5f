"""Faults that a route injects on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.match import ValueMatch
from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Fault(RoutePolicy):
    """A delay (milliseconds) and an abort, each for its percentage of the requests.

    0 means none. An abort has an HTTP or a gRPC status. Only requests that meet all ``headers`` take
    part. ``max_active`` bounds the faults at the same time, in each Envoy.
    """

    delay_ms: int = 0
    delay_percent: float = 0
    http_status: int = 0
    grpc_status: int = 0
    abort_percent: float = 0
    message: str = ""
    headers: tuple[ValueMatch, ...] = ()
    max_active: int | None = None
