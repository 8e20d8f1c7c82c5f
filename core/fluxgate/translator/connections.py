"""Connections, the resolution of names, and circuit breakers as IR."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.connection import Connection, Dns, TcpKeepalive
from fluxgate.api.v1alpha1.policy import CircuitBreaker
from fluxgate.ir import Connections, DnsIR, Keepalive, RetryBudget, Thresholds


def connections(connection: Connection | None) -> Connections | None:
    """The IR of connection settings; None when they say nothing."""
    if connection is None:
        return None
    keepalive = connection.tcp_keepalive
    made = Connections(
        idle_timeout_ms=_ms(connection.idle_timeout),
        max_duration_ms=_ms(connection.max_duration),
        max_requests=connection.max_requests or 0,
        keepalive=_keepalive(keepalive) if keepalive else None,
    )
    return made if made != Connections() else None


def resolution(dns: Dns | None) -> DnsIR:
    """The IR of DNS settings."""
    if dns is None:
        return DnsIR()
    return DnsIR(
        logical=dns.discovery == "Logical",
        # Envoy takes nothing below a millisecond; a second keeps resolvers alive
        refresh_ms=max(duration_ms(dns.refresh), 1_000),
        respect_ttl=dns.respect_ttl,
        family=dns.family,
    )


def thresholds_of(breaker: CircuitBreaker | None) -> Thresholds | None:
    """The IR of a circuit breaker."""
    if breaker is None:
        return None
    budget = breaker.retry_budget
    return Thresholds(
        breaker.max_connections,
        breaker.max_pending_requests,
        breaker.max_requests,
        breaker.max_retries,
        breaker.max_connections_per_target,
        RetryBudget(float(budget.percent), budget.min_concurrency) if budget else None,
    )


def _keepalive(keepalive: TcpKeepalive) -> Keepalive:
    return Keepalive(
        idle_s=_seconds(keepalive.idle),
        interval_s=_seconds(keepalive.interval),
        probes=keepalive.probes or 0,
    )


def _ms(text: str | None) -> int:
    return max(duration_ms(text), 1) if text else 0


def _seconds(text: str | None) -> int:
    return -(-_ms(text) // 1000)
