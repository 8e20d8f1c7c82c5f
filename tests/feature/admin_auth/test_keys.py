"""Keys of the admin API: the first one, five of them, their rights, their rotation and their end."""

import asyncio
import datetime as dt

import pytest
from fastapi import APIRouter, Depends
from support.admin_auth import NOBODYS_KEY, Api, Signing, auth_api

from fluxgate_admin.auth.bootstrap import bootstrap
from fluxgate_admin.db.database import Database
from fluxgate_admin.errors import ConflictError
from fluxgate_admin.http.authentication import SecuredRoute, require


def in_days(api: Api, days: int) -> str:
    """A moment as JSON has it."""
    return (api.time.now + dt.timedelta(days=days)).isoformat()


async def test_a_key_reads_and_signed_it_writes(api: Api, admin: Signing) -> None:
    read = await api.call(admin, "GET", "/v2/things")
    written = await api.call(admin, "POST", "/v2/things", {"a": 1})
    assert (read.status_code, written.status_code) == (200, 200)
    assert written.json()["got"] == {"a": 1}


async def test_without_a_credential_nothing_is_told(api: Api) -> None:
    answer = await api.client.get("/v2/things")
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthenticated"
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_who_may_not_call_is_not_told_what_a_call_looks_like(api: Api) -> None:
    answer = await api.client.post(
        "/v2/things", content=b"{not json", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 401


async def test_a_secured_operation_asks_who_calls_before_it_reads_json(
    api: Api, admin: Signing
) -> None:
    router = APIRouter(route_class=SecuredRoute)

    @router.post("/v2/secured", dependencies=[Depends(require("routes:write"))])
    async def write(body: dict[str, int]) -> dict[str, int]:
        return body

    api.app.include_router(router)
    garbage, json = b"{not json", {"content-type": "application/json"}
    nobody = await api.client.post("/v2/secured", content=garbage, headers=json)
    signed = api.signed(admin, "POST", "/v2/secured", garbage)
    known = await api.client.post("/v2/secured", content=garbage, headers=json | signed)
    assert (nobody.status_code, known.status_code) == (401, 400)


async def test_a_missing_scope_is_refused_in_the_words_of_the_document(
    api: Api, admin: Signing
) -> None:
    reader, _ = await api.new_key(admin, scopes=["routes:read"])
    answer = await api.call(reader, "POST", "/v2/things", {})
    assert answer.status_code == 403
    body = answer.json()
    assert body.pop("request_id").startswith("req_")
    assert body == {
        "error": "scope_mismatch",
        "message": "Token lacks routes:write permission. Contact org admin to elevate service account.",
        "scope": "routes:write",
    }


async def test_the_first_key_is_given_once(api: Api) -> None:
    await bootstrap(api.access.keys)
    with pytest.raises(ConflictError, match="has an active key"):
        await bootstrap(api.access.keys)


async def test_when_the_last_key_is_gone_there_can_be_a_first_one_again(api: Api) -> None:
    issued = await bootstrap(api.access.keys)
    first = Signing.of(issued)
    await api.call(first, "DELETE", f"/v2/auth/keys/{issued.key.id}")
    again = await api.first_key()
    assert (await api.call(first, "GET", "/v2/things")).status_code == 401
    assert (await api.call(again, "GET", "/v2/things")).status_code == 200


async def test_who_was_locked_out_gets_in_again_by_the_first_key_of_another_organisation(
    api: Api, admin: Signing
) -> None:
    keeper, _ = await api.new_key(admin, scopes=["keys:write"])
    (own,) = [
        each["id"]
        for each in (await api.call(keeper, "GET", "/v2/auth/keys")).json()["data"]
        if each["scopes"] == ["*"]
    ]
    assert (await api.call(keeper, "DELETE", f"/v2/auth/keys/{own}")).status_code == 204
    assert (await api.call(admin, "GET", "/v2/auth/whoami")).status_code == 401
    with pytest.raises(ConflictError, match="has an active key"):
        await bootstrap(api.access.keys)
    rescue = Signing.of(await bootstrap(api.access.keys, organisation="rescue"))
    again, made = await api.new_key(rescue, scopes=["*"], organisation="default")
    assert made["organisation"] == "default"
    assert (await api.call(again, "GET", "/v2/auth/whoami")).status_code == 200


async def test_of_many_who_bootstrap_at_once_one_gets_the_key(database: Database) -> None:
    async with auth_api(database) as api:
        tries = await asyncio.gather(
            *(bootstrap(api.access.keys) for _ in range(5)), return_exceptions=True
        )
    refused = [each for each in tries if isinstance(each, ConflictError)]
    assert len(refused) == 4


async def test_an_organisation_has_at_most_five_active_keys(api: Api, admin: Signing) -> None:
    for _ in range(4):
        await api.new_key(admin)
    sixth = await api.call(
        admin, "POST", "/v2/auth/keys", {"name": "sixth", "scopes": ["routes:read"]}
    )
    assert sixth.status_code == 409
    assert sixth.json()["error"] == "key_limit"


async def test_five_is_five_when_many_ask_at_once(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        asked = {"name": "racer", "scopes": ["routes:read"]}
        answers = await asyncio.gather(
            *(api.call(admin, "POST", "/v2/auth/keys", asked) for _ in range(9))
        )
        codes = sorted(each.status_code for each in answers)
        keys = (await api.call(admin, "GET", "/v2/auth/keys")).json()["data"]
    assert codes == [201] * 4 + [409] * 5
    assert len(keys) == 5


async def test_a_revoked_and_an_expired_key_give_their_place_to_others(
    api: Api, admin: Signing
) -> None:
    _, first = await api.new_key(admin)
    await api.new_key(admin, expires_at=in_days(api, 1))
    for _ in range(2):
        await api.new_key(admin)
    await api.call(admin, "DELETE", f"/v2/auth/keys/{first['id']}")
    await api.new_key(admin)
    api.time.pass_by(days=2)
    await api.new_key(admin)


@pytest.mark.parametrize("how", ["revoked", "expired", "unknown", "malformed", "of staging"])
async def test_a_key_that_is_no_good_gets_one_answer(api: Api, admin: Signing, how: str) -> None:
    key, made = await api.new_key(admin, expires_at=in_days(api, 1))
    presented = key.key
    if how == "revoked":
        await api.call(admin, "DELETE", f"/v2/auth/keys/{made['id']}")
    elif how == "expired":
        api.time.pass_by(days=2)
    elif how == "unknown":
        presented = NOBODYS_KEY
    elif how == "malformed":
        presented = key.key[:-1]
    else:
        presented = key.key.replace("sk_live_", "sk_test_")
    answer = await api.client.get("/v2/things", headers={"x-fluxgate-key": presented})
    assert answer.status_code == 401
    body = answer.json()
    del body["request_id"]
    assert body == {"error": "unauthenticated", "message": "The credential is not valid."}


async def test_a_staging_server_issues_keys_for_staging(sqlite: Database) -> None:
    async with auth_api(sqlite, key_prefix="sk_test_") as api:
        admin = await api.first_key()
        assert admin.key.startswith("sk_test_")
        assert (await api.call(admin, "GET", "/v2/things")).status_code == 200


async def test_a_key_is_shown_once_and_kept_as_a_digest(api: Api, admin: Signing) -> None:
    key, made = await api.new_key(admin)
    shown = await api.call(admin, "GET", f"/v2/auth/keys/{made['id']}")
    assert shown.json()["last_four"] == key.key[-4:]
    assert key.key not in shown.text
    assert key.secret not in shown.text
    assert "hash" not in shown.json()


async def test_the_answer_that_holds_a_key_is_kept_by_nobody(api: Api, admin: Signing) -> None:
    answer = await api.call(
        admin, "POST", "/v2/auth/keys", {"name": "x", "scopes": ["routes:read"]}
    )
    assert answer.headers["cache-control"] == "no-store"


async def test_after_ninety_days_every_answer_says_that_rotation_is_due(
    api: Api, admin: Signing
) -> None:
    api.time.pass_by(days=89)
    early = await api.call(admin, "GET", "/v2/things")
    api.time.pass_by(days=1, seconds=1)
    late = await api.call(admin, "GET", "/v2/things")
    refused = await api.call(admin, "GET", "/v2/auth/keys/key_0000")
    assert "x-fluxgate-key-rotation-due" not in early.headers
    assert late.headers["x-fluxgate-key-rotation-due"].endswith("Z")
    assert "x-fluxgate-key-rotation-due" in refused.headers


async def test_a_rotated_key_works_for_the_overlap_and_no_longer(api: Api, admin: Signing) -> None:
    old, made = await api.new_key(admin, scopes=["routes:write"], namespaces=["shop"])
    answer = await api.call(
        admin, "POST", f"/v2/auth/keys/{made['id']}/rotate", {"overlap_seconds": 60}
    )
    new = Signing.of(answer.json())
    assert answer.json()["scopes"] == ["routes:write"]
    assert answer.json()["namespaces"] == ["shop"]
    assert (await api.call(old, "GET", "/v2/things")).status_code == 200
    api.time.pass_by(seconds=61)
    assert (await api.call(old, "GET", "/v2/things")).status_code == 401
    assert (await api.call(new, "GET", "/v2/things")).status_code == 200


async def test_with_five_keys_one_can_be_rotated_without_an_overlap(
    api: Api, admin: Signing
) -> None:
    made = [(await api.new_key(admin))[1] for _ in range(4)]
    path = f"/v2/auth/keys/{made[0]['id']}/rotate"
    with_overlap = await api.call(admin, "POST", path)
    without = await api.call(admin, "POST", path, {"overlap_seconds": 0})
    assert (with_overlap.status_code, with_overlap.json()["error"]) == (409, "key_limit")
    assert without.status_code == 200
    assert (await api.call(Signing.of(made[0]), "GET", "/v2/things")).status_code == 401


async def test_rotation_does_not_prolong_a_key_that_ends(api: Api, admin: Signing) -> None:
    _, made = await api.new_key(admin, expires_at=in_days(api, 1))
    answer = await api.call(
        admin, "POST", f"/v2/auth/keys/{made['id']}/rotate", {"overlap_seconds": 0}
    )
    assert answer.json()["expires_at"] == made["expires_at"]


async def test_a_key_is_rotated_once_however_many_ask(database: Database) -> None:
    async with auth_api(database) as api:
        admin = await api.first_key()
        _, made = await api.new_key(admin)
        path = f"/v2/auth/keys/{made['id']}/rotate"
        answers = await asyncio.gather(*(api.call(admin, "POST", path) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409]


async def test_a_key_rotates_itself_with_any_scope(api: Api, admin: Signing) -> None:
    reader, _ = await api.new_key(admin, scopes=["plugins:read"])
    answer = await api.call(reader, "POST", "/v2/auth/rotate", {"overlap_seconds": 0})
    assert answer.status_code == 200
    assert (await api.call(reader, "GET", "/v2/auth/whoami")).status_code == 401
    who = await api.call(Signing.of(answer.json()), "GET", "/v2/auth/whoami")
    assert who.json()["scopes"] == ["plugins:read"]


async def test_nobody_hands_out_more_than_it_has(api: Api, admin: Signing) -> None:
    keeper, _ = await api.new_key(admin, scopes=["keys:write", "routes:read"], namespaces=["shop"])
    asks = {
        "a scope it lacks": {"scopes": ["routes:write"], "namespaces": ["shop"]},
        "everything": {"scopes": ["*"], "namespaces": ["shop"]},
        "another namespace": {"scopes": ["routes:read"], "namespaces": ["bank"]},
        "all namespaces": {"scopes": ["routes:read"]},
        "another organisation": {
            "scopes": ["routes:read"],
            "namespaces": ["shop"],
            "organisation": "bank",
        },
    }
    codes = {}
    for what, fields in asks.items():
        answer = await api.call(keeper, "POST", "/v2/auth/keys", {"name": "x", **fields})
        codes[what] = answer.status_code
    assert codes == {
        "a scope it lacks": 403,
        "everything": 403,
        "another namespace": 422,
        "all namespaces": 422,
        "another organisation": 403,
    }


async def test_nobody_takes_over_a_key_that_may_more(api: Api, admin: Signing) -> None:
    keeper, _ = await api.new_key(admin, scopes=["keys:write"])
    _, strong = await api.new_key(admin, scopes=["routes:write"])
    rotated = await api.call(keeper, "POST", f"/v2/auth/keys/{strong['id']}/rotate")
    opened = await api.call(
        keeper, "PATCH", f"/v2/auth/keys/{strong['id']}", {"allowed_addresses": ["0.0.0.0/0"]}
    )
    assert (rotated.status_code, opened.status_code) == (403, 403)
    # and what there was goes on as it was
    everything = {"namespaces": ["shop"], "scopes": ["keys:write", "routes:write"]}
    keeper_there, _ = await api.new_key(admin, **everything)
    _, wider = await api.new_key(admin, scopes=["routes:write"])
    hidden = await api.call(keeper_there, "POST", f"/v2/auth/keys/{wider['id']}/rotate")
    assert hidden.status_code == 404
    for answer in (rotated, opened, hidden):
        assert not {"key", "signing_secret"} & answer.json().keys()
    shown = (await api.call(admin, "GET", f"/v2/auth/keys/{strong['id']}")).json()
    assert shown["status"] == "active"
    assert shown["allowed_addresses"] == strong["allowed_addresses"]


@pytest.mark.parametrize("kind", ["service-accounts", "clients"])
async def test_nobody_takes_over_an_account_that_may_more(
    api: Api, admin: Signing, kind: str
) -> None:
    keeper, _ = await api.new_key(admin, scopes=["keys:write"])
    asked = {"name": "test", "scopes": ["routes:read"]}
    made = (await api.call(admin, "POST", f"/v2/auth/{kind}", asked)).json()
    answer = await api.call(keeper, "POST", f"/v2/auth/{kind}/{made['id']}/rotate")
    assert (answer.status_code, answer.json()["scope"]) == (403, "routes:read")
    assert "client_secret" not in answer.json()
    assert (await api.ask_token(made)).status_code == 200


async def test_whoever_keeps_keys_ends_any_it_sees_also_one_that_may_more(
    api: Api, admin: Signing
) -> None:
    """A key that leaked is ended by who is at hand; nobody gains a right by it."""
    keeper, _ = await api.new_key(admin, scopes=["keys:write"])
    strong, made = await api.new_key(admin, scopes=["routes:write"])
    answer = await api.call(keeper, "DELETE", f"/v2/auth/keys/{made['id']}")
    assert answer.status_code == 204, answer.text
    assert (await api.call(strong, "GET", "/v2/auth/whoami")).status_code == 401


async def test_what_another_organisation_has_does_not_exist(api: Api, admin: Signing) -> None:
    scopes = ["keys:write", "routes:write"]
    ours, _ = await api.new_key(admin, scopes=scopes, organisation="ours")
    _, theirs = await api.new_key(admin, scopes=scopes, organisation="theirs")
    listed = (await api.call(ours, "GET", "/v2/auth/keys")).json()["data"]
    named = (await api.call(ours, "GET", "/v2/auth/keys?organisation=theirs")).json()["data"]
    assert theirs["id"] not in {each["id"] for each in [*listed, *named]}
    path = f"/v2/auth/keys/{theirs['id']}"
    for method, url in (("GET", path), ("DELETE", path), ("POST", f"{path}/rotate")):
        real = await api.call(ours, method, url)
        none = await api.call(ours, method, url.replace(theirs["id"], "key_0000"))
        assert real.status_code == none.status_code == 404
        assert real.json()["message"].replace(theirs["id"], "key_0000") == none.json()["message"]


async def test_a_key_bound_to_a_namespace_does_not_see_wider_ones(api: Api, admin: Signing) -> None:
    bound, own = await api.new_key(admin, scopes=["keys:write"], namespaces=["shop"])
    _, wider = await api.new_key(admin, scopes=["keys:write"], namespaces=["shop", "bank"])
    listed = (await api.call(bound, "GET", "/v2/auth/keys")).json()["data"]
    assert [each["id"] for each in listed] == [own["id"]]
    assert (await api.call(bound, "GET", f"/v2/auth/keys/{wider['id']}")).status_code == 404


async def test_pages_of_keys_follow_on(api: Api, admin: Signing) -> None:
    for _ in range(4):
        await api.new_key(admin)
    seen: list[str] = []
    after = ""
    while after is not None:
        page = (await api.call(admin, "GET", f"/v2/auth/keys?limit=2&after={after}")).json()
        seen += [each["id"] for each in page["data"]]
        after = page["after"]
    assert len(seen) == len(set(seen)) == 5


async def test_a_change_of_networks_counts_at_once(api: Api, admin: Signing) -> None:
    key, made = await api.new_key(admin)
    answer = await api.call(
        admin,
        "PATCH",
        f"/v2/auth/keys/{made['id']}",
        {"name": "moved", "allowed_addresses": ["192.0.2.0/24"]},
    )
    assert answer.json()["name"] == "moved"
    assert (await api.call(key, "GET", "/v2/things")).status_code == 403


@pytest.mark.parametrize(
    ("addresses", "code"),
    [([], 400), (["10.0.0.1/8"], 422), (["nonsense"], 422), (["::ffff:10.0.0.0/104"], 422)],
)
async def test_a_wrong_allowlist_is_refused_with_its_place(
    api: Api, admin: Signing, addresses: list[str], code: int
) -> None:
    asked = {"name": "x", "scopes": ["routes:read"], "allowed_addresses": addresses}
    answer = await api.call(admin, "POST", "/v2/auth/keys", asked)
    assert answer.status_code == code
    assert answer.json()["problems"][0]["pointer"].startswith("/allowed_addresses")


async def test_an_unknown_scope_is_refused_and_named(api: Api, admin: Signing) -> None:
    asked = {"name": "x", "scopes": ["routes:fly"]}
    answer = await api.call(admin, "POST", "/v2/auth/keys", asked)
    assert answer.status_code == 422
    assert "routes:fly" in answer.text
