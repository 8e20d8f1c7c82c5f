"""From which origins a route takes changes."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Csrf(RoutePolicy):
    """``origins``: hosts, with a port where it is not the scheme's, or ``*.suffix``."""

    origins: tuple[str, ...] = ()
