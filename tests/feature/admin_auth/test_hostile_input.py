"""What senders without any right may write: every answer is a refusal in words, and nothing fails."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from support.admin_auth import ISSUER, Api, Records, Signing, auth_api

from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database

NUL = "%00"


def token_of(header: bytes, payload: bytes) -> str:
    parts = (header, payload, b"signature")
    return ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)


def claims(**more: Any) -> bytes:
    return json.dumps({"iss": ISSUER, "aud": "fluxgate-admin", "jti": "x", **more}).encode()


def head(kid: str) -> bytes:
    return json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": kid}).encode()


DEEP = b"[" * 6000 + b"]" * 6000
TOKENS = {
    "claims nested without end": token_of(b'{"alg":"RS256"}', DEEP),
    "a header nested without end": token_of(DEEP, claims()),
    "both nested": token_of(DEEP, DEEP),
    "a key id with a NUL": token_of(head("a\0b"), claims()),
    "half a surrogate as a key id": token_of(head("\ud800"), claims()),
    "a huge number": token_of(
        head("x"), b'{"iss": "%s", "exp": %s}' % (ISSUER.encode(), b"9" * 6000)
    ),
    "nothing": "..",
}


@pytest.mark.parametrize("how", list(TOKENS))
async def test_whatever_a_token_holds_it_is_refused_as_any_other(
    database: Database, how: str
) -> None:
    async with auth_api(database) as api:
        answer = await api.call(TOKENS[how], "GET", "/v2/things")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated"), answer.text


@pytest.mark.parametrize(
    "url",
    [
        f"/v2/auth/keys?after={NUL}",
        f"/v2/auth/keys?organisation={NUL}",
        f"/v2/auth/keys/{NUL}",
        f"/v2/auth/clients/{NUL}",
        f"/v2/auth/service-accounts?after={NUL}",
        f"/v2/auth/service-accounts?organisation={NUL}",
    ],
)
async def test_no_database_fails_at_a_character_it_cannot_hold(
    database: Database, url: str
) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        answer = await api.call(admin, "GET", url)
    assert answer.status_code in (200, 400, 404), answer.text


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v2/auth/keys", {"name": "a\0b", "scopes": ["routes:read"]}),
        ("/v2/auth/keys", {"name": "x", "scopes": ["routes:read\0"]}),
        ("/v2/auth/keys", {"name": "x", "scopes": ["routes:read"], "organisation": "a\0"}),
        ("/v2/auth/clients", {"name": "x", "scopes": ["routes:read"], "client_id": "a\0b"}),
        ("/v2/auth/service-accounts", {"name": "a\0b", "scopes": ["routes:read"]}),
        (
            "/v2/auth/service-accounts",
            {"name": "x", "scopes": ["routes:read"], "namespaces": ["a\0"]},
        ),
    ],
)
async def test_no_credential_holds_a_character_a_database_cannot(
    database: Database, url: str, body: dict[str, Any]
) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        answer = await api.call(admin, "POST", url, body)
    assert answer.status_code in (400, 422), answer.text


@pytest.mark.parametrize(
    "form",
    [
        {"client_id": "a\0b", "client_secret": "x"},
        {"client_id": "a", "client_secret": "x\0"},
        {"client_id": "a" * 100_000, "client_secret": "b" * 100_000},
    ],
)
async def test_no_form_for_a_token_fails(database: Database, form: dict[str, str]) -> None:
    async with auth_api(database) as api:
        answer = await api.client.post(
            "/oauth/token", data={"grant_type": "client_credentials", **form}
        )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text


async def test_a_namespace_with_a_character_no_database_holds_is_no_grant(
    database: Database,
) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        account = await api.new_account(admin)
        answer = await api.ask_token(account, namespace="a\0b")
        assert answer.status_code in (200, 400), answer.text


async def test_secrets_of_accounts_in_a_path_are_not_kept_either(api: Api, admin: Signing) -> None:
    del admin
    records = Records()
    async with auth_api(api.access.database, records=records) as other:
        secret = "fcs_" + secrets.token_hex(20)
        await other.client.get(f"/v2/auth/clients/{secret}")
    assert records.records
    assert all(secret not in each.path for each in records.records)


@pytest.mark.parametrize("url", ["/v2/%00", "/v2/a%0ab", "/v2/things?%00", "/v2/a%1b[2J"])
async def test_no_path_keeps_its_record_out_of_the_audit_log(database: Database, url: str) -> None:
    log = SqlAuditLog(database, structlog.get_logger("test"))
    records = Records()
    async with auth_api(database, records=records) as api:
        await api.client.get(url)
    (record,) = records.records
    with capture_logs() as said:
        await log.record(record)
        await log.close()
    assert said == []
    assert record.path.isprintable()
