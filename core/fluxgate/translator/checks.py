"""Health checks as IR."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.health import (
    ActiveHealthCheck,
    FailurePercentage,
    HealthChecks,
    PassiveHealthCheck,
)
from fluxgate.ir import ActiveCheck, FailureShare, OutlierDetection


def active_check(checks: HealthChecks | None) -> ActiveCheck | None:
    """The IR of an active health check."""
    return _active(checks.active) if checks and checks.active else None


def outlier_detection(checks: HealthChecks | None) -> OutlierDetection | None:
    """The IR of a passive health check."""
    return _passive(checks.passive) if checks and checks.passive else None


def path_check(path: str) -> ActiveCheck:
    """An HTTP check of ``path``, everything else by default."""
    return _active(ActiveHealthCheck(path=path))


def _active(check: ActiveHealthCheck) -> ActiveCheck:
    unhealthy = check.unhealthy_interval
    return ActiveCheck(
        type=check.type,
        path=check.path,
        host=check.host or "",
        service=check.service or "",
        interval_ms=max(duration_ms(check.interval), 1),
        timeout_ms=max(duration_ms(check.timeout), 1),
        healthy_threshold=check.healthy_threshold,
        unhealthy_threshold=check.unhealthy_threshold,
        expected_statuses=check.expected_statuses,
        method=check.method,
        send=check.send or "",
        receive=check.receive or "",
        port=check.port or 0,
        unhealthy_interval_ms=max(duration_ms(unhealthy), 1) if unhealthy else 0,
    )


def _passive(check: PassiveHealthCheck) -> OutlierDetection:
    longest = check.max_ejection_time
    base = max(duration_ms(check.base_ejection_time), 1)
    return OutlierDetection(
        consecutive_5xx=check.consecutive_5xx,
        interval_ms=max(duration_ms(check.interval), 1),
        base_ejection_ms=base,
        max_ejection_percent=check.max_ejection_percent,
        consecutive_gateway_errors=check.consecutive_gateway_errors or 0,
        consecutive_connect_failures=check.consecutive_connect_failures or 0,
        failure_share=_share(check.failure_percentage) if check.failure_percentage else None,
        # a maximum below the base would shorten the first ejection
        max_ejection_ms=max(duration_ms(longest), base) if longest else 0,
    )


def _share(failures: FailurePercentage) -> FailureShare:
    return FailureShare(failures.threshold, failures.minimum_requests, failures.minimum_targets)
