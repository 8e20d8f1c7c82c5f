"""How many requests a credential may make in a minute."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItemPerMinute

from fluxgate_admin.errors import TooManyRequestsError
from fluxgate_admin.http.windows import Windows
from fluxgate_admin.settings import LimitSettings

_READS, _WRITES = "reads", "writes"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a credential's minute; ``reset`` is in seconds, until all of it is there again."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> Mapping[str, str]:
        """As every answer says it."""
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset),
        }


class RateLimits:
    """Counts reads and writes of each credential in ``windows``, which it does not close."""

    def __init__(self, settings: LimitSettings, windows: Windows) -> None:
        self._items = {
            _READS: RateLimitItemPerMinute(settings.reads),
            _WRITES: RateLimitItemPerMinute(settings.writes),
        }
        self._windows = windows

    async def take(self, credential: str, *, writes: bool) -> Allowance:
        """Count one request. Raises :class:`TooManyRequestsError`, with ``retry-after``, beyond the limit."""
        kind = _WRITES if writes else _READS
        item = self._items[kind]
        taken, window = await self._windows.take(item, kind, credential)
        seconds = max(0, math.ceil(window.reset_time - time.time()))
        allowance = Allowance(item.amount, max(0, window.remaining), seconds)
        if not taken:
            wait = max(1, seconds)
            raise TooManyRequestsError(
                f"This credential has made {item.amount} {kind} in a minute, which is all it may make: "
                f"try again in {wait} s.",
                headers={**allowance.headers, "retry-after": str(wait)},
            )
        return allowance
