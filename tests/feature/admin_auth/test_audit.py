"""``GET /v2/audit``: the real log, by HTTP, for callers of every kind; what each reads, and what none does."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator

import pytest
import structlog
from support.admin_auth import Api, Json, Signing, auth_api

from fluxgate.ports import ClusterIdentity
from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database

AUDIT = "/v2/audit"
READERS = ["audit:read", "routes:read"]


class Cluster:
    """A cluster where a token is ``<namespace>/<name>`` of its ServiceAccount, and RBAC allows reading."""

    async def identify(self, token: str) -> ClusterIdentity | None:
        namespace, separator, name = token.partition("/")
        username = f"system:serviceaccount:{namespace}:{name}"
        return ClusterIdentity(username, namespace, name) if separator else None

    async def scopes(self, *asked: object) -> frozenset[str]:
        del asked
        return frozenset(READERS)


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    """Replaces that of the folder: with the log in the database, on both databases, and with a cluster."""
    log = SqlAuditLog(database, structlog.get_logger("test"))
    async with auth_api(database, Cluster(), records=log) as opened:
        yield opened


@pytest.fixture
async def admin(api: Api) -> Signing:
    return await api.first_key()


async def read(api: Api, who: Signing | str, query: str = "", **headers: str) -> list[Json]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.call(who, "GET", f"{AUDIT}{query}", headers=named)
    assert answer.status_code == 200, answer.text
    page: Json = answer.json()
    assert page["has_more"] == (page["after"] is not None)
    data: list[Json] = page["data"]
    return data


async def call(api: Api, who: Signing | str | None, url: str = "/v2/things", **headers: str) -> str:
    """One call; its id."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return str((await api.call(who, "GET", url, headers=named)).headers["x-request-id"])


def ids(records: list[Json]) -> set[str]:
    return {each["request_id"] for each in records}


async def test_a_call_is_told_with_who_made_it_and_what_became_of_it(
    api: Api, admin: Signing
) -> None:
    key, made = await api.new_key(admin, name="ci", scopes=["plugins:read"])
    api.time.pass_by(seconds=1)
    id_ = await call(api, key, "/v2/things?secret=in-a-query")
    (told,) = await read(api, admin, f"?request_id={id_}")
    assert told.pop("seconds") >= 0
    assert told == {
        "at": api.time().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "request_id": id_,
        "principal": f"key:ci ({made['id']})",
        "principal_id": made["id"],
        "organisation": "default",
        "method": "GET",
        "path": "/v2/things",
        "status": 403,
        "outcome": "refused",
        "error": "scope_mismatch",
        "address": "127.0.0.1",
        "objects": [],
    }


async def test_reading_the_log_is_in_the_log(api: Api, admin: Signing) -> None:
    await read(api, admin)
    newest, *_ = await read(api, admin)
    assert (newest["path"], newest["status"]) == (AUDIT, 200)


async def test_reading_takes_its_scope_and_counts_as_a_read(api: Api, admin: Signing) -> None:
    key, _ = await api.new_key(admin, scopes=["routes:write", "history:read"])
    refused = await api.call(key, "GET", AUDIT)
    assert (refused.status_code, refused.json()["scope"]) == (403, "audit:read")
    assert (await api.call(None, "GET", AUDIT)).status_code == 401
    answer = await api.call(admin, "GET", AUDIT)
    assert answer.headers["x-ratelimit-limit"] == "120"


async def test_a_team_reads_its_own_calls_and_nobody_elses(api: Api, admin: Signing) -> None:
    async def key(*namespaces: str, organisation: str = "default") -> Signing:
        bound = list(namespaces) or None
        fields: Json = {"namespaces": bound, "organisation": organisation}
        return (await api.new_key(admin, scopes=READERS, **fields))[0]

    a, other_a, b = await key("a"), await key("a"), await key("b")
    wide, foreign = await key("a", "b"), await key("a", organisation="bank")
    everywhere = await key(organisation="bank")
    callers = {"a": a, "other a": other_a, "b": b, "wide": wide, "foreign": foreign}
    made = {name: await call(api, who) for name, who in callers.items()}
    made |= {"all": await call(api, admin), "nobody": await call(api, None)}
    made |= {"pod": await call(api, "a/pod")}

    async def seen(who: Signing) -> set[str]:
        found = ids(await read(api, who, "?limit=500"))
        return {name for name, id_ in made.items() if id_ in found}

    assert await seen(a) == {"a", "other a"}
    assert await seen(b) == {"b"}
    assert await seen(wide) == {"a", "other a", "b", "wide"}
    assert await seen(foreign) == {"foreign"}
    assert await seen(everywhere) == await seen(admin) == set(made)
    for name in made.keys() - {"a", "other a"}:
        assert await read(api, a, f"?request_id={made[name]}") == []
    for who in ("key:bootstrap", "b/pod"):
        assert await read(api, a, f"?principal={who}") == []


async def test_a_page_of_a_team_has_no_place_in_it_of_anybody_else(
    api: Api, admin: Signing
) -> None:
    a, _ = await api.new_key(admin, scopes=READERS, namespaces=["a"])
    first, second = await call(api, a), await call(api, a)
    for _ in range(5):
        await call(api, admin)
    answer = (await api.call(a, "GET", f"{AUDIT}?limit=1&path=/v2/things")).json()
    assert ids(answer["data"]) == {second}
    next_page = f"{AUDIT}?limit=1&path=/v2/things&after={answer['after']}"
    answer = (await api.call(a, "GET", next_page)).json()
    assert ids(answer["data"]) == {first}
    assert (answer["has_more"], answer["after"]) == (False, None)


async def test_a_token_for_fewer_namespaces_reads_less_than_its_account(
    api: Api, admin: Signing
) -> None:
    account = await api.new_account(admin, scopes=READERS, namespaces=["a", "b"])
    narrow, wide = await api.token(account, namespace="a"), await api.token(account)
    made = {await call(api, narrow), await call(api, wide)}
    assert len(ids(await read(api, narrow)) & made) == 1
    assert made <= ids(await read(api, wide))


async def test_a_service_account_of_the_clusters_reads_calls_from_its_namespace_in_it(
    api: Api, admin: Signing
) -> None:
    made = {
        "own": await call(api, "shop/ci"),
        "neighbour": await call(api, "shop/web"),
        "from elsewhere": await call(api, "tools/deployer", x_fluxgate_namespace="shop"),
        "to elsewhere": await call(api, "shop/ci", x_fluxgate_namespace="bank"),
        "everywhere": await call(api, "shop/ci", x_fluxgate_namespace="*"),
        "elsewhere": await call(api, "bank/ci"),
        "a key": await call(api, (await api.new_key(admin, namespaces=["shop"]))[0]),
    }

    async def seen(who: str, **headers: str) -> set[str]:
        found = ids(await read(api, who, **headers))
        return {name for name, id_ in made.items() if id_ in found}

    assert await seen("shop/web") == {"own", "neighbour"}
    assert await seen("tools/deployer", x_fluxgate_namespace="shop") == {"own", "neighbour"}
    assert await seen("tools/deployer") == set()
    assert await seen("tools/deployer", x_fluxgate_namespace="*") == set(made)


async def test_filters_are_of_the_query(api: Api, admin: Signing) -> None:
    key, made = await api.new_key(admin, name="filtered", scopes=["routes:read"])
    api.time.pass_by(minutes=1)
    since = api.time().strftime("%Y-%m-%dT%H:%M:%SZ")
    good, bad = await call(api, key), await call(api, key, "/v2/auth/keys")
    api.time.pass_by(minutes=1)
    until = api.time().strftime("%Y-%m-%dT%H:%M:%SZ")
    nobody = await call(api, None)
    filters = {
        f"since={since}": {good, bad, nobody},
        f"since={since}&until={until}": {good, bad},
        f"principal={made['id']}": {good, bad},
        f"principal=key:filtered ({made['id']})": {good, bad},
        "path=/v2/things&method=GET": {good, nobody},
        "status=401": {nobody},
        "status=4xx": {bad, nobody},
        "outcome=refused&method=GET": {bad, nobody},
        f"outcome=accepted&since={since}&path=/v2/things": {good},
        "status=403&outcome=accepted": set(),
        "outcome=unanswered": set(),
        "method=PURGE": set(),
    }
    for query, wanted in filters.items():
        assert ids(await read(api, admin, f"?{query}")) == wanted, query


@pytest.mark.parametrize(
    ("query", "status"),
    [
        *(("since=yesterday", 400), ("since=2030-02-30T00:00:00Z", 422)),
        *(("until=0001-01-01T00:00:00%2B05:00", 422), ("after=nonsense", 422)),
        *(("status=2x", 400), ("status=99", 400), ("outcome=odd", 400), ("method=get", 400)),
        *(("path=v2", 400), ("limit=0", 400), ("limit=501", 400), ("caller=x", 400)),
        *(("status=200&status=201", 400), ("since=2030-01-01T00:00:00", 400)),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    api: Api, admin: Signing, query: str, status: int
) -> None:
    answer = await api.call(admin, "GET", f"{AUDIT}?{query}")
    assert answer.status_code == status, answer.text
