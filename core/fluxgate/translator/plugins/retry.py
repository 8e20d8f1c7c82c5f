"""``retry``: the same fields as ``spec.retry`` of a Route."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.policy import Retry
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: Retry, _context: Context) -> Policies:
    return replace(policies, retry=config)


POLICY = PolicyType(
    "retry",
    Retry,
    _apply,
    harmless_without=True,
    summary="Which failed attempts are repeated, how often and after how long.",
    example="attempts: 3\nretryOn: [connect-failure, 5xx]\nperTryTimeout: 1s\n",
)
