"""``bandwidth``: how fast bodies may flow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.bandwidth import Bandwidth
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class BandwidthConfig(Model):
    """The config of ``bandwidth``: one rate for all requests of a route's match together."""

    kib_per_second: Annotated[int, Field(ge=1, le=4_294_967_295)] = Field(
        description="KiB (1,024 bytes) a second, in every Envoy by itself."
    )
    direction: Literal["Request", "Response", "Both"] = Field(
        default="Response", description="Which bodies are slowed down. Both: each has the rate."
    )
    fill_interval_milliseconds: Annotated[int, Field(ge=20, le=1000)] = Field(
        default=50, description="How often the bytes of the rate are handed out."
    )


def _apply(policies: Policies, config: BandwidthConfig, _context: Context) -> Policies:
    return policies.adding(
        Bandwidth(
            config.kib_per_second,
            requests=config.direction in ("Request", "Both"),
            responses=config.direction in ("Response", "Both"),
            fill_interval_ms=config.fill_interval_milliseconds,
        )
    )


POLICY = PolicyType(
    "bandwidth",
    BandwidthConfig,
    _apply,
    summary="Slows bodies down to a rate. Nothing is refused: what is too fast waits.",
    example="kibPerSecond: 1024\ndirection: Both\n",
)
