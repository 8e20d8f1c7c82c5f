"""Moving windows of a minute, counted in memory or, for several replicas, in Redis (library ``limits``)."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

import structlog
from limits import RateLimitItem, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from structlog.typing import FilteringBoundLogger

_log = structlog.get_logger(__name__)

_MEMORY = "async+memory://"
_REDIS_SECONDS = 1.0
"""So long Redis may take; after that this process counts by itself."""
_NAMES = 20_000
"""Windows kept at a time: a few megabytes when each is full."""


class BoundedMemory(MemoryStorage):
    """Moving windows in this process, of at most ``names`` names: that of the longest ago goes first.

    The library's own storage keeps every name until a pass over all of them, each in a thread: who
    chooses the names (an address is a name) would choose how much work that is.
    """

    STORAGE_SCHEME = ["async+bounded-memory"]  # noqa: RUF012 - as the library declares it

    def __init__(self, names: int = _NAMES) -> None:
        super().__init__()
        self._names = names
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many windows are kept."""
        return len(self._windows)

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count ``amount`` when so much is left of ``limit`` in the last ``expiry`` seconds."""
        now = time.time()
        times = self._current(key, now - expiry)
        if len(times) + amount > limit:
            return False
        times.extend([now] * amount)
        self._windows[key] = times
        self._windows.move_to_end(key)
        self._forget(now - expiry)
        return True

    async def get_moving_window(
        self,
        key: str,
        limit: int,  # noqa: ARG002 - the library's signature
        expiry: int,
    ) -> tuple[float, int]:
        """When the oldest of the last ``expiry`` seconds was counted, and how many there are."""
        now = time.time()
        times = self._current(key, now - expiry)
        return (times[0], len(times)) if times else (now, 0)

    def _current(self, key: str, since: float) -> deque[float]:
        times = self._windows.get(key) or deque()
        while times and times[0] <= since:
            times.popleft()
        return times

    def _forget(self, since: float) -> None:
        """What is over, or too much: the first is the one that was counted the longest ago."""
        while self._windows:
            times = next(iter(self._windows.values()))
            if len(self._windows) <= self._names and times and times[-1] > since:
                return
            self._windows.popitem(last=False)


class Windows:
    """Counts by name over the last minute, to the second: no burst of twice the limit between two windows.

    While Redis does not answer each process counts by itself, and says so on the log once.
    """

    def __init__(self, storage: str = _MEMORY, log: FilteringBoundLogger | None = None) -> None:
        self._log = log if log is not None else _log
        self._storage = _storage(storage)
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._own = MovingWindowRateLimiter(BoundedMemory())
        self._alone = False

    async def take(self, item: RateLimitItem, *name: str) -> tuple[bool, WindowStats]:
        """Count one, if it is not too many; whether it was not, and what is left."""
        try:
            answer = await _take(self._limiter, item, name)
        except (StorageError, OSError) as error:
            self._away(error)
            return await _take(self._own, item, name)
        self._back()
        return answer

    async def look(self, item: RateLimitItem, *name: str) -> WindowStats:
        """What is left; counts nothing."""
        try:
            answer = await self._limiter.get_window_stats(item, *name)
        except (StorageError, OSError) as error:
            self._away(error)
            return await self._own.get_window_stats(item, *name)
        self._back()
        return answer

    async def close(self) -> None:
        """Let connections go."""
        if isinstance(self._storage, RedisStorage):
            bridge = self._storage.bridge
            assert isinstance(bridge, RedispyBridge)
            await bridge.storage.aclose()

    def _away(self, error: Exception) -> None:
        if not self._alone:
            self._log.warning("rate_limits_counted_alone", error=str(error))
        self._alone = True

    def _back(self) -> None:
        if self._alone:
            self._log.info("rate_limits_counted_together")
        self._alone = False


async def _take(
    limiter: MovingWindowRateLimiter, item: RateLimitItem, name: tuple[str, ...]
) -> tuple[bool, WindowStats]:
    taken = await limiter.hit(item, *name)
    return taken, await limiter.get_window_stats(item, *name)


def _storage(url: str) -> Storage:
    """Raises ``limits.errors.ConfigurationError`` for a URL that names no storage."""
    if url == _MEMORY:
        return BoundedMemory()
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
