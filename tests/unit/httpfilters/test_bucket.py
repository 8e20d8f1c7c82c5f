"""Token buckets: exact rates in Envoy's units."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate.ir import PlanBucket
from fluxgate.xds.httpfilters.bucket import TokenBucketIR, token_bucket

MINUTE = 60_000


@pytest.mark.parametrize(
    ("plan", "bucket"),
    [
        (PlanBucket("demo", 60, MINUTE, 5), TokenBucketIR(5, 1, 1000)),
        (PlanBucket("free", 60, MINUTE, 120), TokenBucketIR(120, 1, 1000)),
        (PlanBucket("pro", 1000, MINUTE, 2000), TokenBucketIR(2000, 5, 300)),
        (PlanBucket("team", 10_000, MINUTE, 30_000), TokenBucketIR(30_000, 25, 150)),
        (PlanBucket("daily", 1, 86_400_000, 1), TokenBucketIR(1, 1, 86_400_000)),
        (PlanBucket("odd", 7, 333, 7), TokenBucketIR(7, 350, 16_650)),
        (PlanBucket("fast", 100, 1000, 10), TokenBucketIR(10, 5, 50)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_plan_becomes_the_smallest_exact_steps(plan: PlanBucket, bucket: TokenBucketIR) -> None:
    assert token_bucket(plan) == bucket


@given(requests=st.integers(1, 10_000_000), window=st.integers(1, 86_400_000), burst=st.integers(1))
def test_the_long_run_rate_is_the_plans(requests: int, window: int, burst: int) -> None:
    bucket = token_bucket(PlanBucket("p", requests, window, burst))
    assert Fraction(bucket.tokens_per_fill, bucket.fill_interval_ms) == Fraction(requests, window)


@given(requests=st.integers(1, 10**8), window=st.integers(1, 10**9), burst=st.integers(1))
def test_the_interval_is_one_envoy_accepts(requests: int, window: int, burst: int) -> None:
    bucket = token_bucket(PlanBucket("p", requests, window, burst))
    assert bucket.fill_interval_ms >= 50
    assert bucket.fill_interval_ms % 50 == 0
    assert 1 <= bucket.tokens_per_fill < 2**32
    assert 1 <= bucket.max_tokens < 2**32
