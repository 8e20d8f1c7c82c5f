"""The windows in which envoyproxy/ratelimit counts: its units, one of each.

Source: its utils.UnitToDivider (a month is 30 days, a year 365). The windows are fixed: they begin
at multiples of their length since 1970, UTC.
"""

from __future__ import annotations

from fluxgate.api.v1alpha1.base import duration_ms

EXACT_WINDOWS = (1, 60, 3_600, 86_400, 604_800, 2_592_000, 31_536_000)
"""In seconds, the shortest first."""

EXACT_WINDOWS_TEXT = "1s, 1m, 1h, 24h, 168h, 720h (30 days) or 8760h (365 days)"


def is_exact_window(window: str) -> bool:
    """Whether the service can count in windows of this length."""
    return duration_ms(window) in {seconds * 1000 for seconds in EXACT_WINDOWS}
