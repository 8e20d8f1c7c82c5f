"""Tokens: client credentials, their scopes and namespaces, rotation, keys that change, forgeries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import update
from support.admin_auth import ISSUER, Api, Json, Signing, auth_api
from support.databases import PATIENCE, DatabasePlace
from support.tokens import base64url, unsigned

from fluxgate_admin.auth.tables import AdminAccount
from fluxgate_admin.db.database import Database


async def client_of(api: Api, admin: Signing, **fields: Any) -> Json:
    """An OAuth2 client; the answer with its secret."""
    asked = {"name": "sdk", "scopes": ["routes:read"], "client_id": "fg_admin_sdk", **fields}
    answer = await api.call(admin, "POST", "/v2/auth/clients", asked)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def test_a_client_gets_a_token_for_an_hour_and_reads_with_it(
    api: Api, admin: Signing
) -> None:
    client = await client_of(api, admin)
    answer = await api.ask_token(client)
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == (
        "Bearer",
        3600,
        "routes:read",
    )
    assert answer.headers["cache-control"] == "no-store"
    assert (await api.call(body["access_token"], "GET", "/v2/things")).status_code == 200
    api.time.pass_by(seconds=3599)
    assert (await api.call(body["access_token"], "GET", "/v2/things")).status_code == 200
    api.time.pass_by(seconds=1)
    late = await api.call(body["access_token"], "GET", "/v2/things")
    assert (late.status_code, late.json()["error"]) == (401, "unauthenticated")
    assert 'error="invalid_token"' in late.headers["www-authenticate"]


async def test_a_client_only_reads(api: Api, admin: Signing) -> None:
    for scope in ("routes:write", "routes:*", "*", "configs:admin"):
        asked = {"name": "sdk", "scopes": [scope]}
        answer = await api.call(admin, "POST", "/v2/auth/clients", asked)
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["pointer"] == "/scopes"


async def test_a_service_account_writes_without_a_signature(api: Api, admin: Signing) -> None:
    token = await api.token(await api.new_account(admin, scopes=["routes:write"]))
    assert (await api.call(token, "POST", "/v2/things", {"a": 1})).status_code == 200


async def test_a_service_account_is_bound_to_its_namespaces(api: Api, admin: Signing) -> None:
    account = await api.new_account(admin, namespaces=["shop", "bank"])
    token = await api.token(account)
    claims = jwt.decode(token, options={"verify_signature": False})
    answer = await api.call(token, "GET", "/v2/things")
    assert claims["namespace"] == answer.json()["namespaces"] == ["bank", "shop"]
    narrow = await api.token(account, namespace="shop")
    assert jwt.decode(narrow, options={"verify_signature": False})["namespace"] == "shop"
    assert (await api.call(narrow, "GET", "/v2/things")).json()["namespaces"] == ["shop"]


async def test_a_token_may_be_asked_for_less_and_not_for_more(api: Api, admin: Signing) -> None:
    account = await api.new_account(admin, scopes=["routes:write"], namespaces=["shop"])
    less = await api.ask_token(account, scope="routes:read")
    more = await api.ask_token(account, scope="routes:read plugins:read")
    elsewhere = await api.ask_token(account, namespace="bank")
    assert less.json()["scope"] == "routes:read"
    written = await api.call(less.json()["access_token"], "POST", "/v2/things", {})
    assert written.status_code == 403
    for refused in (more, elsewhere):
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")
        assert refused.json()["error_description"]


async def test_what_an_account_loses_its_tokens_lose(
    api: Api, admin: Signing, sqlite: Database
) -> None:
    account = await api.new_account(admin, scopes=["routes:write"])
    token = await api.token(account)
    async with sqlite.writing() as session:
        await session.execute(update(AdminAccount).values(scopes=["routes:read"]))
    assert (await api.call(token, "GET", "/v2/things")).status_code == 200
    assert (await api.call(token, "POST", "/v2/things", {})).status_code == 403


async def test_a_revoked_account_and_its_tokens_end_at_once(api: Api, admin: Signing) -> None:
    account = await api.new_account(admin)
    token = await api.token(account)
    await api.call(admin, "DELETE", f"/v2/auth/service-accounts/{account['id']}")
    assert (await api.call(token, "GET", "/v2/things")).status_code == 401
    assert (await api.ask_token(account)).json()["error"] == "invalid_client"


async def test_a_new_secret_ends_the_old_one_and_tokens_if_so_asked(
    api: Api, admin: Signing
) -> None:
    account = await api.new_account(admin)
    token = await api.token(account)
    path = f"/v2/auth/service-accounts/{account['id']}/rotate"
    second = (await api.call(admin, "POST", path)).json()
    assert (await api.ask_token(account)).status_code == 401
    assert (await api.ask_token(second)).status_code == 200
    assert (await api.call(token, "GET", "/v2/things")).status_code == 200
    await api.call(admin, "POST", path, {"revoke_tokens": True})
    assert (await api.call(token, "GET", "/v2/things")).status_code == 401


async def test_a_secret_is_shown_by_basic_or_in_the_form_and_not_by_both(
    api: Api, admin: Signing
) -> None:
    client = await client_of(api, admin)
    ask = {"grant_type": "client_credentials"}
    shown = (client["client_id"], client["client_secret"])
    basic = await api.client.post("/oauth/token", data=ask, auth=shown)
    both = await api.client.post(
        "/oauth/token", data=ask | {"client_secret": client["client_secret"]}, auth=shown
    )
    assert basic.status_code == 200
    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")


async def test_who_has_no_such_secret_is_told_the_same_whatever_is_wrong(
    api: Api, admin: Signing
) -> None:
    client = await client_of(api, admin)
    told = []
    for change in (
        {"client_id": "nobody"},
        {"client_secret": "fcs_wrong"},
        {"client_secret": ""},
        {"client_id": "nobody", "client_secret": "fcs_wrong"},
    ):
        answer = await api.ask_token(client | change)
        body = answer.json()
        del body["request_id"]
        told.append((answer.status_code, answer.headers["www-authenticate"], str(body)))
    assert len(set(told)) == 1
    assert told[0][0] == 401


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        ("grant_type=password&client_id=a&client_secret=b", {}, "unsupported_grant_type"),
        ("client_id=a&client_secret=b", {}, "unsupported_grant_type"),
        (
            "grant_type=client_credentials&client_id=a&client_id=b&client_secret=c",
            {},
            "invalid_request",
        ),
        ("%ff=%ff&client_id=a", {}, "invalid_request"),
        ("&".join(f"f{n}=1" for n in range(50)), {}, "invalid_request"),
        (
            '{"grant_type": "client_credentials"}',
            {"content-type": "application/json"},
            "invalid_request",
        ),
        ("grant_type=client_credentials", {"authorization": "Basic ???"}, "invalid_client"),
        ("grant_type=client_credentials", {"authorization": "Bearer x"}, "invalid_client"),
    ],
)
async def test_a_request_for_a_token_that_is_none_is_told_why(
    api: Api, body: str, headers: dict[str, str], error: str
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await api.client.post("/oauth/token", content=body, headers=form | headers)
    assert answer.json()["error"] == error
    assert answer.status_code == (401 if error == "invalid_client" else 400)


async def test_guessing_secrets_is_limited_for_each_place(api: Api, admin: Signing) -> None:
    client = await client_of(api, admin)
    wrong = client | {"client_secret": "fcs_wrong"}
    answers = [await api.ask_token(wrong) for _ in range(31)]
    assert [each.status_code for each in answers] == [401] * 30 + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    elsewhere = httpx.ASGITransport(api.app, client=("127.0.0.9", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url=ISSUER) as there:
        other = Api(api.access, api.app, there, api.time)
        assert (await other.ask_token(client)).status_code == 200


async def test_rotation_gives_a_new_token_and_ends_the_old_one(api: Api, admin: Signing) -> None:
    token = await api.token(await api.new_account(admin, namespaces=["shop"]))
    answer = await api.call(token, "POST", "/v2/auth/rotate")
    new = answer.json()
    assert (new["expires_in"], new["namespace"]) == (3600, ["shop"])
    assert (await api.call(token, "GET", "/v2/things")).status_code == 401
    assert (await api.call(new["access_token"], "GET", "/v2/things")).status_code == 200


async def test_a_client_that_only_reads_rotates_too(api: Api, admin: Signing) -> None:
    token = await api.token(await client_of(api, admin))
    assert (await api.call(token, "POST", "/v2/auth/rotate")).status_code == 200


async def test_a_token_is_rotated_once_however_many_ask(database: Database) -> None:
    async with auth_api(database) as api:
        token = await api.token(await api.new_account(await api.first_key()))
        answers = await asyncio.gather(
            *(api.call(token, "POST", "/v2/auth/rotate") for _ in range(4))
        )
    assert sorted(each.status_code for each in answers) == [200, 401, 401, 401]


async def test_a_chain_of_rotations_ends_after_a_day(api: Api, admin: Signing) -> None:
    token = await api.token(await api.new_account(admin))
    for _ in range(26):
        api.time.pass_by(minutes=55)
        answer = await api.call(token, "POST", "/v2/auth/rotate")
        assert answer.status_code == 200
        token = answer.json()["access_token"]
    api.time.pass_by(minutes=11)
    answer = await api.call(token, "POST", "/v2/auth/rotate")
    assert (answer.status_code, answer.json()["error"]) == (401, "rotation_exhausted")


async def test_a_rotated_token_that_shows_up_later_ends_the_whole_chain(
    api: Api, admin: Signing
) -> None:
    stolen = await api.token(await api.new_account(admin))
    successor = (await api.call(stolen, "POST", "/v2/auth/rotate")).json()["access_token"]
    assert (await api.call(stolen, "GET", "/v2/things")).status_code == 401
    assert (await api.call(successor, "GET", "/v2/things")).status_code == 200
    api.time.pass_by(seconds=61)
    assert (await api.call(stolen, "GET", "/v2/things")).status_code == 401
    assert (await api.call(successor, "GET", "/v2/things")).status_code == 401


async def test_a_key_and_a_token_together_may_what_both_may(api: Api, admin: Signing) -> None:
    key, _ = await api.new_key(admin, scopes=["routes:write", "plugins:read"])
    token = await api.token(await client_of(api, admin, namespaces=["shop"]))
    headers = {"authorization": f"Bearer {token}"}
    who = (await api.call(key, "GET", "/v2/auth/whoami", headers=headers)).json()
    written = await api.call(key, "POST", "/v2/things", {}, headers=headers)
    assert (who["kind"], who["scopes"], who["namespaces"]) == ("key", ["routes:read"], ["shop"])
    assert written.status_code == 403


async def test_with_a_key_a_bad_token_or_another_organisations_is_refused(
    api: Api, admin: Signing
) -> None:
    other = await api.new_account(admin, organisation="other")
    for token in ("nonsense", await api.token(other)):
        headers = {"authorization": f"Bearer {token}"}
        assert (await api.call(admin, "GET", "/v2/things", headers=headers)).status_code == 401


async def test_two_organisations_may_name_their_clients_alike(api: Api, admin: Signing) -> None:
    ours = await client_of(api, admin)
    theirs = await client_of(api, admin, organisation="theirs")
    again = await api.call(
        admin,
        "POST",
        "/v2/auth/clients",
        {"name": "x", "scopes": ["routes:read"], "client_id": "fg_admin_sdk"},
    )
    assert (again.status_code, again.json()["error"]) == (409, "already_exists")
    for client, organisation in ((ours, "default"), (theirs, "theirs")):
        claims = jwt.decode(await api.token(client), options={"verify_signature": False})
        assert claims["org"] == organisation


async def test_a_client_id_is_free_again_after_a_revocation(api: Api, admin: Signing) -> None:
    first = await client_of(api, admin)
    await api.call(admin, "DELETE", f"/v2/auth/clients/{first['id']}")
    second = await client_of(api, admin)
    assert (await api.ask_token(first)).status_code == 401
    assert (await api.ask_token(second)).status_code == 200


async def test_clients_and_service_accounts_are_not_found_as_one_another(
    api: Api, admin: Signing
) -> None:
    client = await client_of(api, admin)
    account = await api.new_account(admin)
    listed = (await api.call(admin, "GET", "/v2/auth/clients")).json()["data"]
    assert [each["id"] for each in listed] == [client["id"]]
    wrong = await api.call(admin, "GET", f"/v2/auth/clients/{account['id']}")
    assert wrong.status_code == 404


async def test_others_verify_tokens_by_the_published_keys(api: Api, admin: Signing) -> None:
    """With PyJWT's own client of key sets, as a service behind the API would."""
    token = await api.token(await api.new_account(admin))
    keys = (await api.client.get("/.well-known/jwks.json")).json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["RS256"], audience="fluxgate-admin", issuer=ISSUER)
    assert claims["scope"] == "routes:write"
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert set(keys["keys"][0]) == {"kty", "use", "alg", "kid", "n", "e"}


async def kids(api: Api) -> list[str]:
    """The published keys, oldest first."""
    keys = (await api.client.get("/.well-known/jwks.json")).json()["keys"]
    return [each["kid"] for each in keys]


async def kid_of_a_new_token(api: Api, account: Json) -> str:
    """Who signs now."""
    return str(jwt.get_unverified_header(await api.token(account))["kid"])


async def test_a_key_is_published_a_day_before_it_signs_and_leaves_after_its_last_token(
    api: Api, admin: Signing
) -> None:
    account = await api.new_account(admin)
    first = await kid_of_a_new_token(api, account)
    assert await kids(api) == [first]
    api.time.pass_by(days=30)
    old_token = await api.token(account)
    (_, second) = await kids(api)
    assert jwt.get_unverified_header(old_token)["kid"] == first
    api.time.pass_by(hours=23)
    assert await kid_of_a_new_token(api, account) == first
    api.time.pass_by(hours=1)
    assert await kid_of_a_new_token(api, account) == second
    last = await api.token(account)
    assert await kids(api) == [first, second]
    assert (await api.call(last, "GET", "/v2/things")).status_code == 200
    api.time.pass_by(days=29)
    assert (await kids(api))[0] == second


async def test_replicas_agree_on_the_keys(database: Database) -> None:
    async with auth_api(database) as one, auth_api(database) as other:
        account = await one.new_account(await one.first_key())
        tokens = await asyncio.gather(*(each.token(account) for each in (one, other, one, other)))
        kids_of_tokens = {jwt.get_unverified_header(each)["kid"] for each in tokens}
        assert await kids(one) == await kids(other) == list(kids_of_tokens)
        for token in tokens:
            assert (await one.call(token, "GET", "/v2/things")).status_code == 200
            assert (await other.call(token, "GET", "/v2/things")).status_code == 200


async def test_a_key_that_somebody_else_has_ends_with_all_its_tokens_on_every_replica(
    database_place: DatabasePlace,
) -> None:
    """The bound is none: the very next call, wherever it goes."""
    async with (
        Database(database_place.url, seconds=PATIENCE) as here,
        Database(database_place.url, seconds=PATIENCE) as there,
        auth_api(here) as one,
        auth_api(there) as other,
    ):
        admin = await one.first_key()
        account = await one.new_account(admin)
        tokens = [await each.token(account) for each in (one, other)]
        for token in tokens:
            assert (await other.call(token, "GET", "/v2/things")).status_code == 200
        (old,) = await kids(other)
        answer = await one.call(admin, "POST", "/v2/auth/signing-keys/rotate", {"revoke": True})
        assert answer.status_code == 200, answer.text
        assert answer.json()["revoked"] == [old]
        for replica in (one, other):
            for token in tokens:
                refused = await replica.call(token, "GET", "/v2/things")
                assert (refused.status_code, refused.json()["error"]) == (401, "unauthenticated")
                rotated = await replica.call(token, "POST", "/v2/auth/rotate")
                assert rotated.status_code == 401
        new = await kid_of_a_new_token(other, account)
        assert [new] == await kids(one) == [answer.json()["kid"]]
        fresh = await other.token(account)
        assert (await one.call(fresh, "GET", "/v2/things")).status_code == 200


async def test_without_revoking_the_next_key_is_announced_first(api: Api, admin: Signing) -> None:
    account = await api.new_account(admin)
    token = await api.token(account)
    api.time.pass_by(minutes=1)
    first = await api.call(admin, "POST", "/v2/auth/signing-keys/rotate")
    again = await api.call(admin, "POST", "/v2/auth/signing-keys/rotate", {})
    assert (first.status_code, first.json()["revoked"]) == (200, [])
    assert again.json() == first.json()  # one is announced already
    old, new = await kids(api)
    assert new == first.json()["kid"]
    assert await kid_of_a_new_token(api, account) == old
    assert (await api.call(token, "GET", "/v2/things")).status_code == 200
    api.time.pass_by(days=1)
    assert await kid_of_a_new_token(api, account) == new


@pytest.mark.parametrize(
    "rights",
    [
        {"scopes": ["keys:*", "tenants:write"]},
        {"scopes": ["tenants:admin"], "namespaces": ["shop"]},
    ],
    ids=["not an operator", "bound to a namespace"],
)
async def test_tokens_of_everybody_are_for_who_runs_the_installation(
    api: Api, admin: Signing, rights: Json
) -> None:
    other, _ = await api.new_key(admin, **rights)
    answer = await api.call(other, "POST", "/v2/auth/signing-keys/rotate", {"revoke": True})
    assert (answer.status_code, answer.json()["error"]) == (403, "scope_mismatch")


async def test_others_believe_a_revoked_key_for_five_minutes_at_most(api: Api) -> None:
    answer = await api.client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"


Forge = Callable[[str, Json, Json], str]
_OWN_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _hmac_with_the_public_key(token: str, header: Json, jwk: Json) -> str:
    """RS256's public key as HS256's secret."""
    public = jwt.PyJWK(jwk).key
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    start = ".".join(
        [base64url(json.dumps({**header, "alg": "HS256"}).encode()), token.split(".")[1]]
    )
    return f"{start}.{base64url(hmac.new(pem, start.encode(), hashlib.sha256).digest())}"


def _claims(token: str, **changes: Any) -> Json:
    found: Json = jwt.decode(token, options={"verify_signature": False})
    return found | changes


def _own(header: Json, claims: Json) -> str:
    rest = {name: value for name, value in header.items() if name != "alg"}
    return jwt.encode(claims, _OWN_KEY, "RS256", rest)


def _splice(token: str, **changes: Any) -> str:
    """Other claims under the same signature."""
    head, _, signature = token.split(".")
    return ".".join([head, base64url(json.dumps(_claims(token, **changes)).encode()), signature])


def _own_jwk() -> Json:
    found: Json = jwt.algorithms.RSAAlgorithm.to_jwk(_OWN_KEY.public_key(), as_dict=True)
    return found


FORGERIES: dict[str, Forge] = {
    "no algorithm": lambda token, header, _: unsigned({**header, "alg": "none"}, _claims(token)),
    "no algorithm, other case": lambda token, header, _: unsigned(
        {**header, "alg": "nOnE"}, _claims(token)
    ),
    "the public key as a secret": _hmac_with_the_public_key,
    "a key of their own": lambda token, header, _: _own(header, _claims(token)),
    "a key in the header": lambda token, header, _: _own(
        {**header, "jwk": _own_jwk()}, _claims(token)
    ),
    "a key set of their own": lambda token, header, _: _own(
        {**header, "jku": "http://127.0.0.1:9/jwks.json", "kid": "theirs"}, _claims(token)
    ),
    "a key id that is a path": lambda token, header, _: _own(
        {**header, "kid": "../../../../dev/null"}, _claims(token)
    ),
    "a key id that is a query": lambda token, header, _: _own(
        {**header, "kid": "' OR '1'='1"}, _claims(token)
    ),
    "more scopes": lambda token, _, __: _splice(token, scope="*"),
    "another namespace": lambda token, _, __: _splice(token, namespace="bank"),
    "a longer life": lambda token, _, __: _splice(token, exp=99999999999),
    "no signature": lambda token, _, __: token.rsplit(".", 1)[0] + ".",
    "a cut signature": lambda token, _, __: token[:-10],
    "two parts": lambda token, _, __: ".".join(token.split(".")[:2]),
    "not JSON": lambda token, _, __: ".".join([base64url(b"x"), *token.split(".")[1:]]),
    "a very long one": lambda token, _, __: token + "A" * 20000,
}


@pytest.mark.parametrize("how", list(FORGERIES))
async def test_a_forged_token_opens_nothing(api: Api, admin: Signing, how: str) -> None:
    token = await api.token(await api.new_account(admin, namespaces=["shop"]))
    header = jwt.get_unverified_header(token)
    jwk = (await api.client.get("/.well-known/jwks.json")).json()["keys"][0]
    forged = FORGERIES[how](token, header, jwk)
    answer = await api.call(forged, "GET", "/v2/things")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")
    assert (await api.call(token, "GET", "/v2/things")).status_code == 200


async def signed_by_us(api: Api, header: Json, claims: Json) -> str:
    """A token with our own key over anything: what is left when a key is lost."""
    signer = await api.access.signing_keys.signer()
    return jwt.encode(claims, signer.key, "RS256", {"kid": signer.kid, "typ": "at+jwt", **header})


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({}, {"aud": "somebody-else"}),
        ({}, {"aud": None}),
        ({}, {"jti": "tok_never_issued"}),
        ({}, {"jti": None}),
        ({}, {"sub": "somebody-else"}),
        ({}, {"exp": 1}),
        ({}, {"exp": "tomorrow"}),
        ({}, {"exp": None}),
    ],
)
async def test_even_our_own_key_signs_nothing_that_was_not_issued(
    api: Api, admin: Signing, header: Json, claims: Json
) -> None:
    good = _claims(await api.token(await api.new_account(admin)))
    told = {name: value for name, value in (good | claims).items() if value is not None}
    assert (
        await api.call(await signed_by_us(api, {}, good), "GET", "/v2/things")
    ).status_code == 200
    answer = await api.call(await signed_by_us(api, header, told), "GET", "/v2/things")
    assert answer.status_code == 401


async def test_even_our_own_key_gives_an_account_no_more_than_it_has(
    api: Api, admin: Signing
) -> None:
    token = await api.token(
        await api.new_account(admin, scopes=["routes:read"], namespaces=["shop"])
    )
    more = await signed_by_us(api, {}, _claims(token, scope="* routes:write", namespace="bank"))
    who = (await api.call(more, "GET", "/v2/auth/whoami")).json()
    assert (who["scopes"], who["namespaces"]) == (["routes:read"], [])


def test_the_token_of_the_document_is_rs256() -> None:
    assert base64.b64decode("eyJhbGciOiJSUzI1NiIsInR5cCI6") == b'{"alg":"RS256","typ":'
