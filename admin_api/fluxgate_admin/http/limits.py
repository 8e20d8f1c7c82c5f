"""How many requests a credential may make in a minute, counted in memory or, for several replicas, in Redis."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.errors import TooManyRequestsError
from fluxgate_admin.settings import LimitSettings

_log = structlog.get_logger(__name__)

_READS, _WRITES = "reads", "writes"
_REDIS_SECONDS = 1.0
"""So long Redis may take; after that this process counts by itself."""


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
    """Counts requests over the last minute, to the second: no burst of twice the limit between two windows.

    While Redis does not answer each process counts by itself, and says so on the log once.
    """

    def __init__(self, settings: LimitSettings, log: FilteringBoundLogger | None = None) -> None:
        self._log = log if log is not None else _log
        self._items = {
            _READS: RateLimitItemPerMinute(settings.reads),
            _WRITES: RateLimitItemPerMinute(settings.writes),
        }
        self._storage = _storage(settings.storage)
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._own_storage = MemoryStorage()
        self._own = MovingWindowRateLimiter(self._own_storage)
        self._alone = False

    async def take(self, credential: str, *, writes: bool) -> Allowance:
        """Count one request. Raises :class:`TooManyRequestsError`, with ``retry-after``, beyond the limit."""
        kind = _WRITES if writes else _READS
        item = self._items[kind]
        taken, window = await self._hit(item, kind, credential)
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

    async def close(self) -> None:
        """Let connections go."""
        if isinstance(self._storage, RedisStorage):
            bridge = self._storage.bridge
            assert isinstance(bridge, RedispyBridge)
            await bridge.storage.aclose()
        for storage in (self._storage, self._own_storage):
            if isinstance(storage, MemoryStorage) and storage.timer is not None:
                await asyncio.gather(storage.timer, return_exceptions=True)

    async def _hit(
        self, item: RateLimitItemPerMinute, kind: str, credential: str
    ) -> tuple[bool, WindowStats]:
        try:
            answer = await _count(self._limiter, item, kind, credential)
        except (StorageError, OSError) as error:
            if not self._alone:
                self._log.warning("rate_limits_counted_alone", error=str(error))
            self._alone = True
            return await _count(self._own, item, kind, credential)
        if self._alone:
            self._log.info("rate_limits_counted_together")
        self._alone = False
        return answer


async def _count(
    limiter: MovingWindowRateLimiter, item: RateLimitItemPerMinute, kind: str, credential: str
) -> tuple[bool, WindowStats]:
    taken = await limiter.hit(item, kind, credential)
    return taken, await limiter.get_window_stats(item, kind, credential)


def _storage(url: str) -> Storage:
    """Raises ``limits.errors.ConfigurationError`` for a URL that names no storage."""
    options: dict[str, str | float | bool] = {"wrap_exceptions": True}
    if url.startswith("async+redis"):
        options |= {
            "implementation": "redispy",
            "key_prefix": "fluxgate-admin",
            "socket_timeout": _REDIS_SECONDS,
            "socket_connect_timeout": _REDIS_SECONDS,
        }
    storage = storage_from_string(url, **options)
    assert isinstance(storage, Storage)
    return storage
