"""Floods of calls that nobody stands for: bounded by where they come from, before they cost anything."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from structlog.testing import capture_logs
from support.admin_auth import NOBODYS_KEY, Api, Records, Signing, auth_api, served

from fluxgate.ports import ClusterIdentity
from fluxgate_admin.db.database import Database
from fluxgate_admin.http.failed_calls import FailedCalls
from fluxgate_admin.http.windows import BoundedMemory, Windows
from fluxgate_admin.settings import LimitSettings

NOBODY = {"x-fluxgate-key": NOBODYS_KEY}
FAR_AWAY = ("203.0.113.0/24", "127.0.0.0/8")


@pytest.fixture
async def database(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """A database that a busy machine may take its time with."""
    shutil.copy(migrated_file, tmp_path / "admin.db")
    async with Database(f"sqlite:///{tmp_path}/admin.db", seconds=60) as opened:
        yield opened


@asynccontextmanager
async def calling(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a socket, as uvicorn serves it."""
    async with (
        served(api.app, proxy_headers=False) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What the database is asked."""
    asked: list[str] = []

    def statement(*args: Any) -> None:
        asked.append(str(args[2]))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", statement)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", statement)


async def use_up(client: httpx.AsyncClient, **headers: str) -> None:
    """All the refusals one place has in a minute."""
    for _ in range(30):
        answer = await client.get("/v2/things", headers={**NOBODY, **headers})
        assert answer.status_code == 401


async def test_after_thirty_refusals_an_address_waits_and_costs_nothing_more(
    database: Database,
) -> None:
    records = Records()
    async with auth_api(database, records=records) as api, calling(api) as client:
        await use_up(client)
        with statements(database) as asked, capture_logs() as logs:
            answers = [await client.get("/v2/things", headers=NOBODY) for _ in range(20)]
            answers += [await client.get("/v2/nothing/here") for _ in range(20)]
    assert asked == []
    for each in answers:
        assert (each.status_code, each.json()["error"]) == (429, "too_many_failures")
        assert 1 <= int(each.headers["retry-after"]) <= 60
        assert each.headers["cache-control"] == "no-store"
    assert Counter(each.status for each in records.records) == {401: 30, 429: 1}
    assert [each["event"] for each in logs] == ["failed_calls_refused"]


async def test_forty_at_once_are_no_way_around(database: Database) -> None:
    async with auth_api(database) as api, calling(api) as client:
        answers = await asyncio.gather(
            *(client.get("/v2/things", headers=NOBODY) for _ in range(40))
        )
    assert Counter(each.status_code for each in answers) == {401: 30, 429: 10}


async def test_who_is_good_is_let_in_however_many_come_at_once(database: Database) -> None:
    limits = LimitSettings(failures=2)
    async with auth_api(database, limits=limits) as api, calling(api) as client:
        key = (await api.first_key()).key
        answers = await asyncio.gather(
            *(client.get("/v2/things", headers={"x-fluxgate-key": key}) for _ in range(20))
        )
    assert {each.status_code for each in answers} == {200}


async def test_a_credential_that_was_good_from_there_is_not_locked_out(
    database: Database,
) -> None:
    async with auth_api(database) as api, calling(api) as client:
        admin = await api.first_key()
        account = await api.new_account(admin)
        token = await api.token(account)
        new, _ = await api.new_key(admin)
        by_key, by_token = {"x-fluxgate-key": admin.key}, {"authorization": f"Bearer {token}"}
        assert (await client.get("/v2/things", headers=by_key)).status_code == 200
        await use_up(client)
        assert (await client.get("/v2/things", headers=by_key)).status_code == 200
        written = await client.post(
            "/v2/things/plain", headers=api.signed(admin, "POST", "/v2/things/plain")
        )
        assert written.status_code == 200
        # it was issued to that address, so it needs no first call
        assert (await client.get("/v2/things", headers=by_token)).status_code == 200
        unknown = await client.get("/v2/things", headers={"x-fluxgate-key": new.key})
        assert unknown.status_code == 429


async def test_who_fails_with_a_good_key_locks_out_that_key_alone(database: Database) -> None:
    async with auth_api(database) as api, calling(api) as client:
        admin = await api.first_key()
        other, _ = await api.new_key(admin)
        for who in (admin, other):
            good = await client.get("/v2/things", headers={"x-fluxgate-key": who.key})
            assert good.status_code == 200
        codes = []
        for _ in range(31):
            forged = api.signed(Signing(admin.key, "fss_wrong"), "POST", "/v2/things")
            codes.append((await client.post("/v2/things", headers=forged)).status_code)
        assert codes == [401] * 30 + [429]
        own = await client.get("/v2/things", headers={"x-fluxgate-key": admin.key})
        others = await client.get("/v2/things", headers={"x-fluxgate-key": other.key})
        assert (own.status_code, others.status_code) == (429, 200)
        assert (await client.get("/v2/things", headers=NOBODY)).status_code == 401


async def test_secrets_of_clients_are_guessed_no_faster(database: Database) -> None:
    async with auth_api(database) as api, calling(api) as client:
        admin = await api.first_key()
        account, late = await api.new_account(admin), await api.new_account(admin)

        async def ask(client_id: str, secret: str) -> httpx.Response:
            form = {"grant_type": "client_credentials", "client_id": client_id}
            return await client.post("/oauth/token", data={**form, "client_secret": secret})

        good = account["client_id"], account["client_secret"]
        assert (await ask(*good)).status_code == 200
        codes = [(await ask(f"client_{n}", f"fcs_{n}")).status_code for n in range(30)]
        assert codes == [401] * 30
        with statements(database) as asked:
            refused = await ask(account["client_id"], "fcs_wrong")
            also = await ask(late["client_id"], late["client_secret"])
        assert asked == []
        assert {refused.status_code, also.status_code} == {429}
        again = await ask(*good)
        assert again.status_code == 200
        bearer = {"authorization": f"Bearer {again.json()['access_token']}"}
        assert (await client.get("/v2/things", headers=bearer)).status_code == 200


async def test_a_body_that_is_too_large_counts_as_well(database: Database) -> None:
    async with auth_api(database, max_body_bytes=10) as api, calling(api) as client:
        for url in ("/oauth/token", "/v2/things"):
            codes = [(await client.post(url, content=b"x" * 11)).status_code for _ in range(15)]
            assert codes == [413] * 15
        for url in ("/oauth/token", "/v2/things"):
            assert (await client.post(url, content=b"x" * 11)).status_code == 429


async def test_a_header_moves_nobody_to_another_address(database: Database) -> None:
    async with auth_api(database) as api, calling(api) as client:
        for number in range(30):
            spoofed = {**NOBODY, "x-forwarded-for": f"192.0.2.{number}"}
            assert (await client.get("/v2/things", headers=spoofed)).status_code == 401
        assert (await client.get("/v2/things", headers=spoofed)).status_code == 429


async def test_behind_a_trusted_proxy_each_client_counts_for_itself(database: Database) -> None:
    async with auth_api(database, trusted_proxies=FAR_AWAY) as api, calling(api) as client:
        await use_up(client, **{"x-forwarded-for": "192.0.2.1"})
        codes = {}
        for forwarded in (
            "192.0.2.1",
            "192.0.2.9, 192.0.2.1",
            "192.0.2.1, 203.0.113.5",
            "192.0.2.2",
        ):
            headers = {**NOBODY, "x-forwarded-for": forwarded}
            codes[forwarded] = (await client.get("/v2/things", headers=headers)).status_code
    assert list(codes.values()) == [429, 429, 429, 401]


async def test_all_addresses_of_an_ipv6_network_are_one_place(database: Database) -> None:
    async with auth_api(database, trusted_proxies=FAR_AWAY) as api, calling(api) as client:
        for number in range(30):
            headers = {**NOBODY, "x-forwarded-for": f"2001:db8:0:1::{number:x}"}
            assert (await client.get("/v2/things", headers=headers)).status_code == 401
        codes = []
        for address in ("2001:db8:0:1:ffff::1", "2001:db8:0:2::1", "::ffff:192.0.2.1"):
            headers = {**NOBODY, "x-forwarded-for": address}
            codes.append((await client.get("/v2/things", headers=headers)).status_code)
    assert codes == [429, 401, 401]


class Reviews:
    """A cluster that knows nobody, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def identify(self, token: str) -> ClusterIdentity | None:
        self.asked += 1
        return None

    async def scopes(
        self, identity: ClusterIdentity, namespace: str | None, wanted: frozenset[str] | None = None
    ) -> frozenset[str]:
        raise AssertionError("nobody is known")


async def test_a_flood_of_tokens_costs_thirty_reviews_a_minute(database: Database) -> None:
    reviews = Reviews()
    async with auth_api(database, reviews) as api, calling(api) as client:
        for number in range(60):
            await client.get("/v2/things", headers={"authorization": f"Bearer token-{number}"})
    assert reviews.asked == 30


async def test_what_everybody_may_read_counts_for_nothing(database: Database) -> None:
    async with auth_api(database) as api, calling(api) as client:
        for _ in range(40):
            assert (await client.get("/.well-known/jwks.json")).status_code == 200
        await use_up(client)
        assert (await client.get("/.well-known/jwks.json")).status_code == 200


async def test_without_a_limit_nobody_waits(database: Database) -> None:
    limits = LimitSettings(failures=0)
    async with auth_api(database, limits=limits) as api, calling(api) as client:
        await use_up(client)
        await use_up(client)


async def test_a_minute_later_there_is_another_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    calls = FailedCalls(1, Windows())
    first = calls.attempt(None)
    await first.begin(b"", b"", b"")
    await first.end(refused=True)
    with pytest.raises(Exception, match="try again in 60 s") as refused:
        await calls.attempt(None).begin(b"", b"", b"")
    assert refused.value.status == 429  # type: ignore[attr-defined]
    now[0] += 60.5
    await calls.attempt(None).begin(b"", b"", b"")


async def test_addresses_without_end_take_no_memory_without_end() -> None:
    memory = BoundedMemory(names=100)
    for number in range(1000):
        assert await memory.acquire_entry(f"place-{number}", 30, 60)
    assert len(memory) == 100
    assert await memory.get_moving_window("place-999", 30, 60) != (0, 0)
    assert (await memory.get_moving_window("place-0", 30, 60))[1] == 0


async def test_nothing_is_kept_of_calls_that_ended() -> None:
    calls = FailedCalls(30, Windows())
    for refused in (True, False):
        attempt = calls.attempt(None)
        await attempt.begin(b"k", b"", b"")
        await attempt.end(refused=refused)
    assert calls._doors == {}


async def test_a_body_that_does_not_come_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxgate_admin.http.entrance.Entrance.__init__.__defaults__", (0.2,))
    async with auth_api(database) as api, served(api.app, proxy_headers=False) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v2/things HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in answer


async def test_what_was_cut_off_is_no_request(database: Database) -> None:
    """A sender that leaves in the middle of a body: what came of it must not pass for all of it."""
    records = Records()
    async with auth_api(database, records=records) as api:
        account = await api.new_account(await api.first_key())
        token = await api.token(account)
        messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": b"{}", "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v2/things",
            "raw_path": b"/v2/things",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": ("127.0.0.1", 1),
        }
        await api.app(scope, receive, send)
    assert sent == []
    assert records.records[-1].status == 0
