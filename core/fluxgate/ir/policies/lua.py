"""A script that runs on a route's requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Lua(RoutePolicy):
    """``name`` is how messages call the script; ``backends`` are (name in the script, cluster)."""

    name: str
    source: str
    backends: tuple[tuple[str, str], ...] = ()
