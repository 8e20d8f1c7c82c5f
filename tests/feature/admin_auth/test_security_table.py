"""What must not get in: forged, replayed, late and cut signatures; spoofed addresses; secrets nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from support.admin_auth import NOBODYS_KEY, Api, Records, Signing, auth_api, served, settings_for
from support.databases import DatabasePlace

from fluxgate_admin.auth import key_check
from fluxgate_admin.auth.bootstrap import bootstrap
from fluxgate_admin.db.database import Database
from fluxgate_admin.settings import SignatureSettings

BODY = b'{"a": 1}'
TYPE = {"content-type": "application/json"}


async def send(api: Api, headers: dict[str, str], body: bytes = BODY) -> httpx.Response:
    return await api.client.post("/v2/things", content=body, headers=TYPE | headers)


def changed(name: str, change: Callable[[str], str]) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda headers: headers | {name: change(headers[name])}


FORGERIES: dict[str, tuple[Callable[[dict[str, str]], dict[str, str]], str]] = {
    "another signature": (
        changed("x-fluxgate-signature", lambda _: "v1=" + "0" * 64),
        "unauthenticated",
    ),
    "one digit changed": (
        changed("x-fluxgate-signature", lambda v: v[:-1] + ("0" if v[-1] != "0" else "1")),
        "unauthenticated",
    ),
    "cut by one digit": (changed("x-fluxgate-signature", lambda v: v[:-1]), "signature_malformed"),
    "cut to its prefix": (changed("x-fluxgate-signature", lambda _: "v1="), "signature_malformed"),
    "upper case": (changed("x-fluxgate-signature", str.upper), "signature_malformed"),
    "another algorithm": (
        changed("x-fluxgate-signature", lambda v: "none=" + v[3:]),
        "signature_malformed",
    ),
    "another nonce": (changed("x-fluxgate-nonce", lambda v: v[::-1]), "unauthenticated"),
    "another moment": (
        changed("x-fluxgate-timestamp", lambda v: str(int(v) - 1)),
        "unauthenticated",
    ),
    "no timestamp": (
        lambda headers: {k: v for k, v in headers.items() if k != "x-fluxgate-timestamp"},
        "signature_malformed",
    ),
    "no signature at all": (
        lambda headers: {"x-fluxgate-key": headers["x-fluxgate-key"]},
        "signature_required",
    ),
}


@pytest.mark.parametrize("how", list(FORGERIES))
async def test_a_forged_signature_writes_nothing(api: Api, admin: Signing, how: str) -> None:
    forge, error = FORGERIES[how]
    headers = forge(api.signed(admin, "POST", "/v2/things", BODY))
    answer = await send(api, headers)
    assert (answer.status_code, answer.json()["error"]) == (401, error)


async def test_the_same_request_unforged_is_taken(api: Api, admin: Signing) -> None:
    assert (await send(api, api.signed(admin, "POST", "/v2/things", BODY))).status_code == 200


@pytest.mark.parametrize(
    ("url", "body"),
    [("/v2/things?force=true", BODY), ("/v2/things", b'{"a": 2}'), ("/v2/%74hings", BODY)],
    ids=["another query", "another body", "another spelling of the path"],
)
async def test_a_signature_is_good_for_one_request_alone(
    api: Api, admin: Signing, url: str, body: bytes
) -> None:
    headers = api.signed(admin, "POST", "/v2/things", BODY)
    answer = await api.client.post(url, content=body, headers=TYPE | headers)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")


async def test_one_keys_secret_signs_for_no_other_key(api: Api, admin: Signing) -> None:
    other, _ = await api.new_key(admin)
    headers = api.signed(Signing(admin.key, other.secret), "POST", "/v2/things", BODY)
    assert (await send(api, headers)).status_code == 401


async def test_the_key_itself_or_its_digest_signs_nothing(api: Api, admin: Signing) -> None:
    for secret in (admin.key, hashlib.sha256(admin.key.encode()).hexdigest(), ""):
        headers = api.signed(Signing(admin.key, secret), "POST", "/v2/things", BODY)
        assert (await send(api, headers)).status_code == 401


async def test_a_request_that_was_made_is_not_made_again(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        headers = api.signed(admin, "POST", "/v2/things", BODY)
        answers = await asyncio.gather(*(send(api, headers) for _ in range(5)))
        later = await send(api, headers)
    assert sorted(each.status_code for each in answers) == [200, 401, 401, 401, 401]
    assert later.json()["error"] == "signature_replayed"


async def test_another_replica_knows_what_was_used(database_place: DatabasePlace) -> None:
    async with (
        Database(database_place.url) as one,
        Database(database_place.url) as other,
        auth_api(one) as here,
        auth_api(other) as there,
    ):
        admin = await here.first_key()
        headers = here.signed(admin, "POST", "/v2/things", BODY)
        assert (await send(here, headers)).status_code == 200
        assert (await send(there, headers)).json()["error"] == "signature_replayed"


async def test_a_nonce_is_its_keys_own(api: Api, admin: Signing) -> None:
    other, _ = await api.new_key(admin)
    nonce = "n" * 20
    for who in (admin, other):
        headers = api.signed(who, "POST", "/v2/things", BODY, nonce=nonce)
        assert (await send(api, headers)).status_code == 200


async def test_a_forged_request_uses_up_no_nonce(api: Api, admin: Signing) -> None:
    headers = api.signed(admin, "POST", "/v2/things", BODY)
    assert (await send(api, headers, b'{"a": 2}')).status_code == 401
    assert (await send(api, headers)).status_code == 200


@pytest.mark.parametrize("off", [-301, 301, -(10**6), 10**6])
async def test_a_clock_that_is_off_is_told_so_whatever_the_key(
    api: Api, admin: Signing, off: int
) -> None:
    now = int(api.time().timestamp())
    answers = []
    for who in (admin, Signing(NOBODYS_KEY, "fss_x")):
        headers = api.signed(who, "POST", "/v2/things", BODY, timestamp=now + off)
        answers.append(await send(api, headers))
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (401, "signature_expired")
        assert answer.json()["server_time"] == now


@pytest.mark.parametrize("off", [-299, 299])
async def test_a_clock_within_five_minutes_is_good_and_still_no_replay(
    api: Api, admin: Signing, off: int
) -> None:
    headers = api.signed(
        admin, "POST", "/v2/things", BODY, timestamp=int(api.time().timestamp()) + off
    )
    assert (await send(api, headers)).status_code == 200
    api.time.pass_by(seconds=300 + off)
    await api.access.forget_expired()
    again = await send(api, headers)
    assert again.json()["error"] == "signature_replayed"
    api.time.pass_by(seconds=2)
    assert (await send(api, headers)).json()["error"] == "signature_expired"
    api.time.pass_by(seconds=300)
    assert await api.access.forget_expired() == 1


async def test_every_way_to_write_is_signed(api: Api, admin: Signing) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await api.client.request(
            method, "/v2/auth/keys/key_0000", headers={"x-fluxgate-key": admin.key}
        )
        # PUT and POST lead nowhere there; what is there asks for a signature
        assert answer.status_code in {401, 405}
        if answer.status_code == 401:
            assert answer.json()["error"] == "signature_required"


async def test_a_signature_on_a_read_is_checked_too(api: Api, admin: Signing) -> None:
    good = api.signed(admin, "GET", "/v2/things")
    bad = api.signed(admin, "GET", "/v2/other")
    assert (await api.client.get("/v2/things", headers=good)).status_code == 200
    assert (await api.client.get("/v2/things", headers=bad)).status_code == 401


async def test_where_signatures_are_not_required_a_forged_one_is_refused_all_the_same(
    sqlite: Database,
) -> None:
    async with auth_api(sqlite, signatures=SignatureSettings(required=False)) as api:
        admin = await api.first_key()
        unsigned = await send(api, {"x-fluxgate-key": admin.key})
        forged = api.signed(admin, "POST", "/v2/things", b"{}")
        assert unsigned.status_code == 200
        assert (await send(api, forged)).status_code == 401


async def test_two_keys_in_one_request_are_none(api: Api, admin: Signing) -> None:
    other, _ = await api.new_key(admin)
    both = [("x-fluxgate-key", admin.key), ("x-fluxgate-key", other.key)]
    assert (await api.client.get("/v2/things", headers=both)).status_code == 401


@pytest.mark.parametrize("place", ["query", "cookie", "bearer", "basic"])
async def test_a_key_counts_in_its_header_alone(api: Api, admin: Signing, place: str) -> None:
    sent: dict[str, Any] = {
        "query": {"params": {"x-fluxgate-key": admin.key}},
        "cookie": {"headers": {"cookie": f"x-fluxgate-key={admin.key}"}},
        "bearer": {"headers": {"authorization": f"Bearer {admin.key}"}},
        "basic": {"auth": ("key", admin.key)},
    }[place]
    assert (await api.client.get("/v2/things", **sent)).status_code == 401


async def test_an_unknown_key_takes_the_steps_of_a_known_one(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statements, unsealed secrets and HMACs of a refusal: the same for both."""
    steps: list[str] = []
    real = key_check.genuine
    monkeypatch.setattr(key_check, "genuine", lambda *args: (steps.append("hmac"), real(*args))[1])
    async with auth_api(sqlite) as api:
        admin = await api.first_key()
        unseal = api.access.box.unseal
        monkeypatch.setattr(
            type(api.access.box),
            "unseal",
            lambda self, *args: (steps.append("unseal"), unseal(*args))[1],
        )

        def statement(*args: Any) -> None:
            steps.append(str(args[2]))

        engine = sqlite._engine.sync_engine
        event.listen(engine, "before_cursor_execute", statement)
        taken = {}
        for name, key in (("known", admin.key), ("unknown", NOBODYS_KEY)):
            steps.clear()
            headers = api.signed(Signing(key, "fss_wrong"), "POST", "/v2/things", BODY)
            answer = await send(api, headers)
            body = answer.json()
            del body["request_id"]
            taken[name] = [*steps, str(answer.status_code), str(body)]
        event.remove(engine, "before_cursor_execute", statement)
    assert "hmac" in taken["known"]
    assert taken["known"] == taken["unknown"]


@pytest.mark.parametrize(
    ("trusted", "forwarded", "code"),
    [
        ((), {}, 403),
        ((), {"x-forwarded-for": "127.0.0.1"}, 403),
        ((), {"x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1"}, 403),
        (("203.0.113.0/24",), {"x-forwarded-for": "127.0.0.1"}, 200),
        (("203.0.113.0/24",), {"x-forwarded-for": "127.0.0.1, 198.51.100.7"}, 403),
        (("203.0.113.0/24",), {"x-forwarded-for": "127.0.0.1, nonsense"}, 403),
    ],
)
async def test_an_address_is_believed_of_trusted_proxies_alone(
    sqlite: Database, trusted: tuple[str, ...], forwarded: dict[str, str], code: int
) -> None:
    async with auth_api(sqlite, peer="203.0.113.9", trusted_proxies=trusted) as api:
        admin = await api.first_key()
        answer = await api.call(admin, "GET", "/v2/things", headers=forwarded)
    assert answer.status_code == code
    if code == 403:
        assert answer.json()["error"] == "address_not_allowed"


async def test_the_audit_log_tells_whose_key_was_used_from_elsewhere(sqlite: Database) -> None:
    records = Records()
    async with auth_api(sqlite, records=records, peer="203.0.113.9") as api:
        issued = await bootstrap(api.access.keys)
        await api.call(Signing.of(issued), "GET", "/v2/things")
    (record,) = records.records
    assert (record.status, record.error, record.address) == (
        403,
        "address_not_allowed",
        "203.0.113.9",
    )
    assert record.objects == (issued.key.id,)
    assert record.principal == ""


async def test_a_key_for_everywhere_has_said_so(sqlite: Database) -> None:
    async with auth_api(sqlite, peer="203.0.113.9") as api:
        admin = await api.first_key(allowed_addresses=("0.0.0.0/0",))
        assert (await api.call(admin, "GET", "/v2/things")).status_code == 200


async def test_over_a_real_socket_nobody_is_whom_a_header_says(api: Api) -> None:
    """uvicorn believes X-Forwarded-For from loopback by itself unless it is told not to."""
    key = await api.first_key(allowed_addresses=("192.0.2.0/24",))
    spoofed = {"x-fluxgate-key": key.key, "x-forwarded-for": "192.0.2.7"}
    async with (
        served(api.app, proxy_headers=False) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        answer = await client.get("/v2/things", headers=spoofed)
    assert (answer.status_code, answer.json()["error"]) == (403, "address_not_allowed")
    assert "127.0.0.1" in answer.json()["message"]


async def test_over_a_real_socket_a_signature_covers_what_was_sent(
    api: Api, admin: Signing
) -> None:
    async with (
        served(api.app, proxy_headers=False) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        target = "/v2/things?note=a%20b&x=%2f&y=caf%C3%A9"
        headers = api.signed(admin, "POST", target, BODY)
        answer = await client.post(target, content=BODY, headers=TYPE | headers)
        other = await client.post(
            target.replace("%2f", "%2F"),
            content=BODY,
            headers=TYPE | api.signed(admin, "POST", target, BODY),
        )
    assert (answer.status_code, other.status_code) == (200, 401)


def test_the_signature_of_the_table_is_made_without_our_code() -> None:
    """The recipe of the guide, from the standard library alone, against ours."""
    who = Signing(NOBODYS_KEY, "fss_secret")
    api = Api.__new__(Api)
    headers = Api.signed(api, who, "POST", "/v2/x?y=1", BODY, timestamp=7, nonce="n" * 16)
    text = "\n".join(
        ["v1", "POST", "/v2/x", "y=1", hashlib.sha256(BODY).hexdigest(), "7", "n" * 16]
    )
    mac = hmac.new(b"fss_secret", text.encode(), hashlib.sha256).hexdigest()
    assert headers["x-fluxgate-signature"] == f"v1={mac}"


def test_settings_never_print_their_secrets() -> None:
    assert "bWFzdGVy" not in repr(settings_for())
