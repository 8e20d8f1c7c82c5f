"""Requests a minute: counted for each credential, told in every answer, shared over Redis."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.admin_auth import Api, Signing, auth_api
from support.limiter import Redis

from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import TooManyRequestsError
from fluxgate_admin.http.limits import RateLimits
from fluxgate_admin.http.windows import Windows
from fluxgate_admin.settings import LimitSettings


async def test_the_documents_limits_are_the_default(api: Api, admin: Signing) -> None:
    read = await api.call(admin, "GET", "/v2/things")
    written = await api.call(admin, "POST", "/v2/things", {})
    assert read.headers["x-ratelimit-limit"] == "120"
    assert written.headers["x-ratelimit-limit"] == "30"


async def test_beyond_the_limit_it_is_said_when_to_come_again(sqlite: Database) -> None:
    async with auth_api(sqlite, limits=LimitSettings(reads=3, writes=1)) as api:
        admin = await api.first_key()
        answers = [await api.call(admin, "GET", "/v2/things") for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        left = [each.headers["x-ratelimit-remaining"] for each in answers]
        assert left == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert refused.json()["error"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"]
        # writes are counted apart
        written = [await api.call(admin, "POST", "/v2/things", {}) for _ in range(2)]
        assert [each.status_code for each in written] == [200, 429]


async def test_each_credential_has_a_limit_of_its_own(sqlite: Database) -> None:
    async with auth_api(sqlite, limits=LimitSettings(reads=1)) as api:
        admin = await api.first_key()
        other, _ = await api.new_key(admin)
        codes = [(await api.call(who, "GET", "/v2/things")).status_code for who in (admin, other)]
        assert codes == [200, 200]
        assert (await api.call(admin, "GET", "/v2/things")).status_code == 429


async def test_all_tokens_of_an_account_share_its_limit(sqlite: Database) -> None:
    async with auth_api(sqlite, limits=LimitSettings(reads=1)) as api:
        account = await api.new_account(await api.first_key())
        codes = [
            (await api.call(await api.token(account), "GET", "/v2/things")).status_code
            for _ in range(2)
        ]
        assert codes == [200, 429]


async def test_what_is_refused_for_its_scope_counts_and_a_forgery_does_not(
    sqlite: Database,
) -> None:
    async with auth_api(sqlite, limits=LimitSettings(writes=3)) as api:
        admin = await api.first_key()
        reader, _ = await api.new_key(admin, scopes=["routes:read"])
        for _ in range(5):
            forged = api.signed(Signing(reader.key, "fss_x"), "POST", "/v2/things")
            assert (await api.client.post("/v2/things", headers=forged)).status_code == 401
        codes = [(await api.call(reader, "POST", "/v2/things")).status_code for _ in range(4)]
        assert codes == [403, 403, 403, 429]


async def test_the_window_moves_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second batch right after a full minute's end, as a fixed window would let through."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    limits = RateLimits(LimitSettings(reads=2), Windows())
    await limits.take("key", writes=False)
    now[0] += 59
    await limits.take("key", writes=False)
    now[0] += 2  # the first is older than a minute, the second is not
    await limits.take("key", writes=False)
    with pytest.raises(TooManyRequestsError):
        await limits.take("key", writes=False)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    # a socket's path may have 107 characters, fewer than pytest's folders
    with tempfile.TemporaryDirectory(prefix="fg-redis-") as folder:
        server = Redis(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def shared(redis: Redis) -> AsyncIterator[list[RateLimits]]:
    """Two replicas that count in one Redis."""
    redis.flush()
    storage = f"async+redis+unix://{redis.socket}"
    counting = [Windows(storage), Windows(storage)]
    yield [RateLimits(LimitSettings(reads=10), each) for each in counting]
    for each in counting:
        await each.close()


async def admitted(replicas: list[RateLimits], requests: int) -> int:
    """How many of so many requests at once get in."""
    answers = await asyncio.gather(
        *(replicas[n % len(replicas)].take("key", writes=False) for n in range(requests)),
        return_exceptions=True,
    )
    refused = [each for each in answers if isinstance(each, TooManyRequestsError)]
    others = [each for each in answers if isinstance(each, Exception) and each not in refused]
    assert not others
    return requests - len(refused)


async def test_replicas_count_together(shared: list[RateLimits]) -> None:
    assert await admitted(shared, 30) == 10


async def test_while_redis_is_away_each_counts_alone_and_says_so_once(
    shared: list[RateLimits], redis: Redis
) -> None:
    assert await admitted(shared[:1], 5) == 5
    redis.stop()
    try:
        with capture_logs() as logs:
            assert await admitted(shared[:1], 15) == 10
            assert await admitted(shared[:1], 5) == 0
    finally:
        redis.start()
    assert [each["event"] for each in logs] == ["rate_limits_counted_alone"]
    with capture_logs() as logs:
        assert await admitted(shared, 30) == 10
    assert [each["event"] for each in logs] == ["rate_limits_counted_together"]
