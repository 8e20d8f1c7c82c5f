"""What credentials leave behind, and a change of master keys."""

from __future__ import annotations

import datetime as dt

import pytest
from support.admin_auth import MASTER_KEY, auth_api

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.upkeep import forget_expired
from fluxgate_admin.db.database import Database
from fluxgate_admin.secret_box import SecretBoxError

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
