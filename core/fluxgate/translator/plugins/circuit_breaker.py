"""``circuit-breaker``: the same fields as ``spec.circuitBreaker`` of a Route."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.policy import CircuitBreaker
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: CircuitBreaker, _context: Context) -> Policies:
    return replace(policies, circuit_breaker=config)


POLICY = PolicyType(
    "circuit-breaker",
    CircuitBreaker,
    _apply,
    summary="Bounds what one route has under way towards its upstreams.",
    example="maxConnections: 100\nmaxPendingRequests: 50\nmaxRequests: 200\n",
    errors=((503, "one of the limits is reached"),),
)
