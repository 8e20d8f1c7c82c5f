"""How large the body of a request may be."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class BodyLimit(RoutePolicy):
    """The most bytes a request's body may have.

    A body whose length is told is judged by it. One of unknown length is held until it is whole,
    unless ``streams`` says that the route carries streams, which have no end.
    """

    max_bytes: int
    streams: bool = False
