"""Which client addresses a route admits."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class IpRestriction(RoutePolicy):
    """CIDR blocks. No address of ``deny`` is admitted; with ``allow``, only addresses of it."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
