"""Token buckets in Envoy's terms: tokens per fill, and the interval between fills."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from fluxgate.ir import PlanBucket

BASE_INTERVAL_MS = 50
"""Envoy's shortest fill interval, and the unit of all others (it refuses other multiples)."""

MAX_TOKENS = 2**32 - 1


@dataclass(frozen=True, slots=True)
class TokenBucketIR:
    """envoy.type.v3.TokenBucket. The interval is in milliseconds."""

    max_tokens: int
    tokens_per_fill: int
    fill_interval_ms: int


def token_bucket(plan: PlanBucket) -> TokenBucketIR:
    """The bucket with exactly the plan's rate, filled in the smallest steps Envoy allows.

    The rate is reduced to its lowest terms, then stretched to a multiple of 50 ms:
    60 a minute is 1 each second, 1,000 a minute 5 each 300 ms.
    """
    requests, window_ms = max(plan.requests, 1), max(plan.window_ms, 1)
    common = gcd(requests, window_ms)
    interval = window_ms // common
    stretch = BASE_INTERVAL_MS // gcd(BASE_INTERVAL_MS, interval)
    return TokenBucketIR(
        max_tokens=min(max(plan.burst, 1), MAX_TOKENS),
        tokens_per_fill=min(requests // common * stretch, MAX_TOKENS),
        fill_interval_ms=interval * stretch,
    )
