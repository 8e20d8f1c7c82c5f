"""Which statistics Envoy keeps: a few families, because every one costs memory a cluster."""

from __future__ import annotations

from envoy.config.metrics.v3 import stats_pb2 as stats_v3

PREFIXES = (
    "server.",
    "cluster_manager.",
    "listener_manager.",
    "control_plane.",
    "listener.",
    "http.",
    "plan_limit.",
    "tracing.",
    "access_logs.",
)
"""Families whose size does not grow with the number of routes and upstreams."""

CLUSTER_STATISTICS = (
    "membership_healthy",
    "membership_total",
    "upstream_cx_connect_fail",
    "upstream_rq_total",
    "upstream_rq_5xx",
    "upstream_rq_timeout",
    "upstream_rq_retry",
    "upstream_rq_pending_overflow",
    "health_check.failure",
    "outlier_detection.ejections_enforced_total",
)
"""What is kept of the hundred statistics Envoy has for each cluster."""


def stats_matcher() -> stats_v3.StatsMatcher:
    """The ``stats_config.stats_matcher`` of the bootstrap."""
    matcher = stats_v3.StatsMatcher()
    for prefix in PREFIXES:
        matcher.inclusion_list.patterns.add(prefix=prefix)
    for name in CLUSTER_STATISTICS:
        matcher.inclusion_list.patterns.add(suffix=f".{name}")
    return matcher
