"""A route that leads to an MCP server."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Mcp(RoutePolicy):
    """``challenge`` are the parameters of the ``Bearer`` challenge in refusals (RFC 9728, 5.1).

    ``tools`` None admits every tool. ``max_request_bytes`` bounds the messages that are read for them.
    """

    challenge: str
    tools: tuple[str, ...] | None = None
    max_request_bytes: int = 0
