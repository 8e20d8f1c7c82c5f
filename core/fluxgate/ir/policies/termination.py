"""Routes that answer by themselves for a while, before anything asks for a credential."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class RequestTermination(RoutePolicy):
    """The answer, and who is let through to the upstream all the same.

    ``retry_after_s`` in seconds, 0 for none. ``bypass_sha256`` is the SHA-256 (hexadecimal) of the value
    that the header ``bypass_header`` must have; ``bypass_cidrs`` are blocks of client addresses.
    """

    status: int
    message: str
    retry_after_s: int = 0
    bypass_header: str = ""
    bypass_sha256: str = ""
    bypass_cidrs: tuple[str, ...] = ()
