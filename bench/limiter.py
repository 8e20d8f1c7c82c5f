"""The rate limit service with a Redis, for the chain that counts exactly: both real."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.limiter import RateLimitService, Redis

from bench.harness import BenchError, require
from fluxgate_operator.own_bootstrap import FLEET
from tools.toolset import Toolset, ToolsMissingError


def require_limiter() -> None:
    """Raise :class:`BenchError` when the service or Redis is not there."""
    require("redis-server", "redis-server")
    try:
        Toolset.from_environment().found("ratelimit")
    except ToolsMissingError as error:
        raise BenchError(str(error)) from error


@contextlib.contextmanager
def limiter(folder: Path, xds_port: int) -> Iterator[RateLimitService]:
    """The service, not yet started: it needs the xDS server that will be on ``xds_port``."""
    require_limiter()
    redis = Redis(folder)
    redis.start()
    service = RateLimitService(folder, redis, xds_port, FLEET)
    try:
        yield service
    finally:
        service.close()
        redis.stop()
