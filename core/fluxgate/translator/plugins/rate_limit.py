"""``rate-limit``: a plan by name, or numbers in place, counted for every key by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.route import RouteRateLimit
from fluxgate.translator.plugins.base import Context, Limit, Policies, PolicyType


class RateLimitConfig(RouteRateLimit):
    """The config of ``rate-limit``. ``Local`` counts in every Envoy by itself."""

    policy: Literal["Local"] = "Local"


def limit_of(config: RouteRateLimit, name: str) -> Limit:
    """The limit that ``config`` says; ``name`` names its bucket when it has numbers of its own."""
    if config.requests is None:
        return Limit(plan=config.plan)
    window = max(duration_ms(config.window), 1)
    return Limit(None, config.requests, window, config.burst or config.requests, name)


def _apply(policies: Policies, config: RateLimitConfig, context: Context) -> Policies:
    return replace(policies, limit=limit_of(config, context.name))


POLICY = PolicyType("rate-limit", RateLimitConfig, _apply)
