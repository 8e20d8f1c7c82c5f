"""Idempotency keys: one request each, its answer from then on."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.fernet import Fernet
from support.databases import PATIENCE, DatabasePlace
from support.history import Clock

from fluxgate.secret import SecretBytes
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.idempotency import SqlIdempotency
from fluxgate_admin.errors import ConflictError
from fluxgate_admin.secret_box import SecretBox
from fluxgate_admin.use_cases.ports import Remembered

ME, KEY, ASKED = "key_1", "6f1a", "digest-of-the-request"
CREATED = Remembered(ASKED, 201, {"location": "/v2/routes/rt_1"}, b'{"key":"sk_live_canary"}')


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def box() -> SecretBox:
    return SecretBox([SecretBytes(Fernet.generate_key())])


@pytest.fixture
def store(database: Database, box: SecretBox, clock: Clock) -> SqlIdempotency:
    return SqlIdempotency(database, box, clock)


async def test_the_first_request_is_worked_on_and_the_second_gets_its_answer(
    store: SqlIdempotency,
) -> None:
    assert await store.claim(ME, KEY, ASKED) is None
    await store.keep(ME, KEY, CREATED)
    assert await store.claim(ME, KEY, ASKED) == CREATED


async def test_another_request_under_the_same_key_is_refused(store: SqlIdempotency) -> None:
    await store.claim(ME, KEY, ASKED)
    await store.keep(ME, KEY, CREATED)
    with pytest.raises(ConflictError) as caught:
        await store.claim(ME, KEY, "another")
    assert caught.value.error == "idempotency_key_reused"


async def test_keys_of_two_principals_have_nothing_to_do_with_each_other(
    store: SqlIdempotency,
) -> None:
    await store.claim("a", "bc", ASKED)
    assert await store.claim("ab", "c", "another") is None


async def test_a_request_that_is_being_worked_on_is_not_begun_again(store: SqlIdempotency) -> None:
    await store.claim(ME, KEY, ASKED)
    with pytest.raises(ConflictError) as caught:
        await store.claim(ME, KEY, ASKED)
    assert (caught.value.error, caught.value.headers) == (
        "idempotency_key_in_use",
        {"retry-after": "1"},
    )


async def test_of_many_at_once_over_two_replicas_exactly_one_is_worked_on(
    database_place: DatabasePlace, box: SecretBox, clock: Clock
) -> None:
    replicas = [Database(database_place.url, seconds=PATIENCE) for _ in range(2)]
    stores = [SqlIdempotency(each, box, clock) for each in replicas] * 5
    claims = [each.claim(ME, KEY, ASKED) for each in stores]
    found = await asyncio.gather(*claims, return_exceptions=True)
    assert found.count(None) == 1
    assert all(isinstance(each, ConflictError) for each in found if each is not None)
    for each in replicas:
        await each.close()


async def test_a_claim_whose_process_died_can_be_taken_over_after_a_minute(
    store: SqlIdempotency, clock: Clock
) -> None:
    await store.claim(ME, KEY, ASKED)
    clock.forward(seconds=59)
    with pytest.raises(ConflictError):
        await store.claim(ME, KEY, ASKED)
    clock.forward(seconds=1)
    assert await store.claim(ME, KEY, ASKED) is None


async def test_a_key_that_was_released_can_be_used_for_anything(store: SqlIdempotency) -> None:
    await store.claim(ME, KEY, ASKED)
    await store.release(ME, KEY)
    assert await store.claim(ME, KEY, "another") is None


async def test_an_answer_is_not_released(store: SqlIdempotency) -> None:
    await store.claim(ME, KEY, ASKED)
    await store.keep(ME, KEY, CREATED)
    await store.release(ME, KEY)
    assert await store.claim(ME, KEY, ASKED) == CREATED


async def test_a_key_is_forgotten_after_its_time_before_anybody_swept(
    store: SqlIdempotency, clock: Clock
) -> None:
    await store.claim(ME, KEY, ASKED)
    await store.keep(ME, KEY, CREATED)
    clock.forward(hours=24)
    assert await store.claim(ME, KEY, "another") is None


async def test_an_answer_shows_nothing_of_itself_in_a_dump_of_the_database(
    store: SqlIdempotency, database_place: DatabasePlace
) -> None:
    await store.claim("key_of_canary", "canary-key", ASKED)
    await store.keep("key_of_canary", "canary-key", CREATED)
    dump = database_place.dump()
    assert "canary" not in dump
    assert "idempotency_answers" in dump


async def test_an_answer_whose_master_key_is_gone_is_no_answer(
    store: SqlIdempotency, database: Database, clock: Clock
) -> None:
    await store.claim(ME, KEY, ASKED)
    await store.keep(ME, KEY, CREATED)
    other = SqlIdempotency(database, SecretBox([SecretBytes(Fernet.generate_key())]), clock)
    assert await other.claim(ME, KEY, ASKED) is None
