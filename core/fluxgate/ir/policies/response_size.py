"""How large the body of an answer may be."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class ResponseLimit(RoutePolicy):
    """The most bytes that the body of an upstream's answer may have.

    Judged as it comes from the upstream: before it is changed for the client, and before it is
    compressed. One of unknown length is held until it is whole, unless it is a stream.
    """

    max_bytes: int
