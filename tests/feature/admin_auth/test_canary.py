"""Secrets stand nowhere but in the one answer that shows them: not in logs, refusals, audit, database."""

from __future__ import annotations

import logging

import pytest
import structlog
from support.admin_auth import Signing, auth_api
from support.databases import DatabasePlace

from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database


async def test_no_secret_is_found_where_it_should_not_be(
    database_place: DatabasePlace,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy")
    async with (
        Database(database_place.url) as database,
        auth_api(database, records=SqlAuditLog(database, structlog.get_logger())) as api,
    ):
        admin = await api.first_key()
        key, made = await api.new_key(admin)
        rotated = (await api.call(admin, "POST", f"/v2/auth/keys/{made['id']}/rotate")).json()
        account = await api.new_account(admin)
        token = await api.token(account)
        successor = (await api.call(token, "POST", "/v2/auth/rotate")).json()["access_token"]
        signer = await api.access.signing_keys.signer()
        private = format(signer.key.private_numbers().d, "x")
        wrong = (key, Signing(key.key, "fss_wrong"), Signing("sk_live_wrong", key.secret))
        urls = (f"/v2/things?key={key.key}", f"/v2/{key.key}", f"/v2/auth/keys/{key.key}")
        paths = ("keys", f"keys/{made['id']}", "service-accounts")
        answers = [
            *[await api.call(who, "POST", "/v2/things", {"a": 1}) for who in wrong],
            *[await api.call(key, "GET", url) for url in urls],
            *[await api.call(admin, "GET", f"/v2/auth/{path}") for path in paths],
            await api.call(token, "GET", "/v2/things"),
            await api.ask_token(account, scope=account["client_secret"]),
            await api.client.get("/.well-known/jwks.json"),
        ]
        secrets_asked_for = (f"?principal={key.key}", f"?path=/v2/{key.key}", f"?after={key.key}")
        asked = [await api.call(admin, "GET", f"/v2/audit{each}") for each in secrets_asked_for]
        audit = await api.call(admin, "GET", "/v2/audit?limit=500")
    output = capfd.readouterr()
    secrets = {
        "first key": admin.key,
        "first signing secret": admin.secret,
        "key": key.key,
        "signing secret": key.secret,
        "successor": rotated["key"],
        "client secret": account["client_secret"],
        "token": token.rsplit(".", 1)[1],
        "rotated token": successor.rsplit(".", 1)[1],
        "private key": private,
        "master key": "bWFzdGVyLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM",
        "private key in PEM": "PRIVATE KEY",
    }
    places = {
        "database": database_place.dump(),
        # the client of this test logs the URLs it asks for; that is not the server's log
        "log": "".join(
            each.getMessage() + repr(each.args) for each in caplog.records if each.name != "httpx"
        ),
        "output": output.out + output.err,
        "audit": audit.text,
        "settings and services": repr(api.access) + repr(api.access.box),
    }
    found = [(s, p) for s, text in secrets.items() for p, kept in places.items() if text in kept]
    assert found == []
    # a refusal may repeat a name it was asked about; it never holds what somebody else knows
    told = "".join(each.text for each in answers)
    mine = {"key", "client secret"}
    assert [name for name, text in secrets.items() if name not in mine and text in told] == []
    assert len(audit.json()["data"]) > 15
    assert [each.status_code for each in asked] == [200, 200, 422]
    # the log is searched for what it holds
    assert len(asked[1].json()["data"]) == 1
    assert any("sk_live_…" in each["path"] for each in audit.json()["data"])
    assert places["database"].count(made["id"])
    assert made["last_four"] in places["database"]
