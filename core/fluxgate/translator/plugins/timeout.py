"""``timeout``: the same fields as ``spec.timeouts`` of a Route."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.policy import Timeouts
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: Timeouts, _context: Context) -> Policies:
    return replace(policies, timeouts=config)


POLICY = PolicyType(
    "timeout",
    Timeouts,
    _apply,
    harmless_without=True,
    summary="How long a request may take; nearer than the timeouts of a backend and a gateway.",
    example="request: 5s\nidle: 1m\n",
    errors=((504, "the upstream did not answer in time"),),
)
