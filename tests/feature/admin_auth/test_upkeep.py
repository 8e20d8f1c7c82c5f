"""What credentials leave behind, and a change of master keys."""

from __future__ import annotations

import datetime as dt

import pytest
from support.admin_auth import MASTER_KEY, auth_api
from support.databases import PATIENCE, DatabasePlace

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.upkeep import forget_expired
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.idempotency import SqlIdempotency
from fluxgate_admin.secret_box import SecretBoxError
from fluxgate_admin.use_cases.ports import Remembered

NEW_KEY = SecretBytes(b"YW5vdGhlci1tYXN0ZXIta2V5LW9mLTMyLWJ5dGVzISE=")


async def test_after_a_change_of_master_keys_the_old_one_can_go(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        account = await api.new_account(admin)
        token = await api.token(account)
    async with auth_api(database, master_keys=(NEW_KEY, MASTER_KEY)) as api:
        assert await api.access.seal_anew() == 2  # a signing secret, and the key that signs tokens
        assert await api.access.seal_anew() == 0
    async with auth_api(database, master_keys=(NEW_KEY,)) as api:
        assert await api.access.seal_anew() == 0
        assert (await api.call(admin, "POST", "/v2/things", {})).status_code == 200
        assert (await api.call(token, "GET", "/v2/things")).status_code == 200
        assert (await api.ask_token(account)).status_code == 200


async def test_without_the_master_key_a_start_says_so(sqlite: Database) -> None:
    async with auth_api(sqlite) as api:
        await api.first_key()
    async with auth_api(sqlite, master_keys=(NEW_KEY,)) as api:
        with pytest.raises(SecretBoxError, match="no master key opens admin_keys/key_"):
            await api.access.seal_anew()


async def test_a_secret_moved_to_another_key_signs_nothing(sqlite: Database) -> None:
    """Whoever may write the database, but has no master key, cannot give a key a secret they know."""
    async with auth_api(sqlite) as api:
        admin = await api.first_key()
        mine, _ = await api.new_key(admin)
        async with sqlite.writing() as session:
            connection = await session.connection()
            await connection.exec_driver_sql(
                "UPDATE admin_keys SET signing_secret = (SELECT signing_secret FROM admin_keys"
                " WHERE name = 'test') WHERE name = 'bootstrap'"
            )
        headers = api.signed(type(mine)(admin.key, mine.secret), "POST", "/v2/things")
        answer = await api.client.post("/v2/things", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (500, "internal_error")
    assert "sealed" not in answer.text


async def test_expired_tokens_and_used_nonces_go(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        account = await api.new_account(admin)  # one nonce
        token = await api.token(account)
        assert await api.access.forget_expired() == 0
        assert (await api.call(token, "GET", "/v2/things")).status_code == 200
        api.time.pass_by(seconds=3601)
        assert await api.access.forget_expired() == 2
        assert await api.access.forget_expired() == 0


async def test_a_replica_that_is_ahead_forgets_no_nonce_that_another_would_take_again(
    database: Database,
) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        headers = api.signed(admin, "POST", "/v2/things/plain")
        first = await api.client.post("/v2/things/plain", headers=headers)
        assert first.status_code == 200, first.text
        api.time.pass_by(seconds=300)  # the last second at which it is taken here
        now = api.time.now
        ahead = now + dt.timedelta(seconds=240)
        await forget_expired(database, lambda: ahead)
        again = await api.client.post("/v2/things/plain", headers=headers)
        assert (again.status_code, again.json()["error"]) == (401, "signature_replayed")


def answer(number: int) -> Remembered:
    return Remembered(f"request-{number}", 201, {}, b"made")


async def test_rewrap_seals_everything_with_the_first_key_and_the_old_one_can_go(
    database: Database,
) -> None:
    """Keys, a key that signs tokens, and more answers to idempotency keys than one step takes."""
    async with auth_api(database) as api:
        account = await api.new_account(await api.first_key())
        token = await api.token(account)
        kept = SqlIdempotency(database, api.access.box, api.access.clock)
        for number in range(150):
            await kept.claim("p", f"key-{number}", f"request-{number}")
            await kept.keep("p", f"key-{number}", answer(number))
        await kept.claim("p", "open", "still worked on")
    async with auth_api(database, master_keys=(NEW_KEY, MASTER_KEY)) as api:
        steps: list[int] = []
        assert await api.access.sealed_rows() == 152
        done = await api.access.rewrap(steps.append)
        assert (done.looked_at, done.changed, done.lost) == (152, 152, 0)
        assert steps == [1, 1, 100, 50]
        assert (await api.access.rewrap()).changed == 0
    async with auth_api(database, master_keys=(NEW_KEY,)) as api:
        assert await api.access.seal_anew() == 0
        assert (await api.call(token, "GET", "/v2/things")).status_code == 200
        kept = SqlIdempotency(database, api.access.box, api.access.clock)
        assert await kept.claim("p", "key-149", "request-149") == answer(149)


async def test_rewrap_that_was_interrupted_does_the_rest(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        for _ in range(3):
            await api.new_key(admin)
        await api.token(await api.new_account(admin))
    async with auth_api(database, master_keys=(NEW_KEY, MASTER_KEY)) as api:

        def interrupted(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await api.access.rewrap(interrupted)
        done = await api.access.rewrap()
        assert (done.looked_at, done.changed) == (5, 1)


async def test_rewrap_names_a_credential_that_no_key_opens_and_goes_on_without_answers(
    sqlite: Database,
) -> None:
    async with auth_api(sqlite) as api:
        kept = SqlIdempotency(sqlite, api.access.box, api.access.clock)
        await kept.claim("p", "k", "request-1")
        await kept.keep("p", "k", answer(1))
    async with auth_api(sqlite, master_keys=(NEW_KEY,)) as api:
        done = await api.access.rewrap()
        assert (done.looked_at, done.changed, done.lost) == (1, 0, 1)
    async with auth_api(sqlite) as api:
        await api.first_key()
    async with auth_api(sqlite, master_keys=(NEW_KEY,)) as api:
        with pytest.raises(SecretBoxError, match="no master key opens admin_keys/"):
            await api.access.rewrap()


async def test_a_revoked_key_ends_with_the_next_call_on_every_replica(
    database_place: DatabasePlace,
) -> None:
    async with (
        Database(database_place.url, seconds=PATIENCE) as here,
        Database(database_place.url, seconds=PATIENCE) as there,
        auth_api(here) as one,
        auth_api(there) as other,
    ):
        admin = await one.first_key()
        key, made = await one.new_key(admin)
        assert (await other.call(key, "GET", "/v2/things")).status_code == 200
        gone = await one.call(admin, "DELETE", f"/v2/auth/keys/{made['id']}")
        assert gone.status_code == 204
        for replica in (other, one):
            assert (await replica.call(key, "GET", "/v2/things")).status_code == 401
            assert (await replica.call(key, "POST", "/v2/things", {})).status_code == 401
