"""How long to wait before the next start."""

from __future__ import annotations

from collections.abc import Callable

from fluxgate_operator.settings import BackOffSettings


class BackOff:
    """Exponential, with jitter; a stable run resets it. ``jitter`` yields [0, 1)."""

    def __init__(self, settings: BackOffSettings, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter
        self._failures = 0

    def next(self, ran_seconds: float) -> float:
        """Seconds to wait after a run of ``ran_seconds``."""
        if ran_seconds >= self._settings.stable:
            self._failures = 0
        base = self._settings.first * self._settings.factor ** min(self._failures, 32)
        self._failures += 1
        spread = 1 + self._settings.jitter * (2 * self._jitter() - 1)
        return min(base, self._settings.limit) * spread
